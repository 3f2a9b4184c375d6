"""Writes a backup: a dump of the whole database, the files of knowledge, and the key ring that belongs to it under a passphrase."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from pointsman.cli.exits import CommandRefused
from pointsman.cli.keyring_file import ask_passphrase, seal, write_private
from pointsman.cli.logs import quiet_logs
from pointsman.cli.object_archive import archive_of, files, find_referred, written_archive
from pointsman.cli.output import say
from pointsman.cli.schema import require_migrated
from pointsman.cli.storage import Storage
from pointsman.kit.crypto import RING_FILE, KeyRing
from pointsman.kit.db import connect
from pointsman.kit.embedded_pg import run_tool
from pointsman.kit.problems import Kind, Problem
from pointsman.knowledge.stores import Place
from pointsman.settings import Settings


class BackupFailed(Problem):
    """`pg_dump` or `pg_restore` ended with an error, which it printed itself.

    No file was left that looks like a backup, and no database half restored. Correct what it names: usually a full disk, a server that is
    newer than the client program, or a file that is no backup.
    """

    kind = Kind.UNAVAILABLE
    code = "backup-failed"
    title = "The backup could not be written or read"


def backup(settings: Settings, file: Path, passphrase_file: Path | None, *, with_keyring: bool, with_objects: bool) -> None:
    """Write `file`, and beside it `file.objects` and `file.keyring`."""
    quiet_logs()
    sealed_file = keyring_of(file)
    for path in (file, sealed_file, archive_of(file)):
        if path.exists():
            raise CommandRefused(f"{path} exists already.", hint="Name another file, or move this one away.")
    with Storage(settings, make=False) as storage:
        passphrase = ask_passphrase(passphrase_file, new=True) if with_keyring else None
        dsn = storage.dsn()
        ring = KeyRing.open(settings.data_dir, settings.keyring.keys) if passphrase else None
        asyncio.run(_check(dsn, ring))
        _write(settings, dsn, file, with_objects=with_objects)
    if passphrase:
        write_private(sealed_file, seal(ring_text(settings), passphrase))
        say(f"the key ring, encrypted, is in {sealed_file}")
    say(f"the backup is in {file} ({file.stat().st_size / 2**20:.1f} MB)")
    say("the admin key is in neither: keep it apart, or make a new one after a restore (`pointsman keys bootstrap --rotate`)")


def _write(settings: Settings, dsn: str, file: Path, *, with_objects: bool) -> None:
    """The files that are there before the dump and those that came while it was written: all that it refers to are among them."""
    place = Place.of_store(settings)
    if place.folder is None or not with_objects:
        _dump(dsn, file)
        if count := len(asyncio.run(find_referred(dsn))):
            say(f"NOT in the backup: {files(count)} of knowledge in {place.base}; back that up too, by its own means")
        return
    with written_archive(archive_of(file), place.folder, place.base) as archive:
        archive.add()
        _dump(dsn, file)
        archive.add()
        missing = archive.missing(asyncio.run(find_referred(dsn)))
    say(f"the object store, {files(len(archive))}, is in {archive_of(file)}")
    if missing:
        say(f"NOT in the backup: {files(missing)} that the database refers to, and that {place.base} does not have")


def keyring_of(file: Path) -> Path:
    """Where the key ring of a backup lies."""
    return file.with_name(f"{file.name}.keyring")


def ring_text(settings: Settings) -> str:
    """The lines of the ring in use, newest key first."""
    if settings.keyring.keys:
        return "".join(f"{key.get_secret_value().strip()}\n" for key in settings.keyring.keys)
    return (settings.data_dir / RING_FILE).read_text(encoding="ascii")


async def check_ring(dsn: str, ring: KeyRing) -> bool:
    """Whether the database knows a ring at all. Raises KeyRingWrong where it knows another one."""
    connection = await connect(dsn, role=None)
    try:
        token = await connection.fetchval("SELECT token FROM key_canary WHERE id = 1")
    finally:
        await connection.close()
    if token is not None:
        ring.verify_canary(token)
    return token is not None


async def _check(dsn: str, ring: KeyRing | None) -> None:
    await require_migrated(dsn)
    if ring is not None:
        await check_ring(dsn, ring)


def _dump(dsn: str, file: Path) -> None:
    part = file.with_name(f".{file.name}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        write_private(part, b"")
        # Rights are granted anew by every release, to a role that a dump of one database does not have.
        if run_tool("pg_dump", dsn, "--format=custom", "--no-owner", "--no-privileges", f"--file={part}") != 0:
            raise BackupFailed(f"pg_dump could not write {file}.", hint="What it printed says why.")
        os.replace(part, file)  # noqa: PTH105 - both names are paths of the same folder
    except OSError as error:
        raise CommandRefused(
            f"{file} cannot be written: {error.strerror}.", hint="Name a file in a folder that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
