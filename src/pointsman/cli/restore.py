"""Reads a backup into a database that is empty, or that the caller names to be emptied: whole or not at all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pointsman.cli.backup import BackupFailed, check_ring, keyring_of
from pointsman.cli.exits import CommandRefused
from pointsman.cli.keyring_file import ask_passphrase, unseal, write_private
from pointsman.cli.logs import quiet_logs
from pointsman.cli.object_archive import archive_of, files, find_referred, require_archive, restore_objects
from pointsman.cli.output import say
from pointsman.cli.storage import Storage
from pointsman.kit.crypto import RING_FILE, KeyRing
from pointsman.kit.db import connect
from pointsman.kit.embedded_pg import binary, run_tool
from pointsman.kit.problems import Kind, Problem
from pointsman.knowledge.stores import Place
from pointsman.migrations import migrate
from pointsman.settings import Settings

_OURS = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname !~ '^(pg_|information_schema$)'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_EMPTIED = """
DO $$ DECLARE s text; BEGIN
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', s);
  END LOOP;
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
# Ends a COPY that may be under way, then fails, so that the transaction is rolled back.
_CUT_OFF = b"\n\\.\n;\nDO $$ BEGIN RAISE EXCEPTION 'the backup could not be read to its end'; END $$;\n"


class DatabaseNotEmpty(Problem):
    """A backup is restored into an empty database only, and this one has tables: restoring over them would lose what they hold.

    Name a new data directory or another database, or say with `--force DATABASE` that everything in it may be deleted.
    """

    kind = Kind.CONFLICT
    code = "database-not-empty"
    title = "The database is not empty"


class DatabaseInUse(Problem):
    """Somebody works on the database, a gateway most likely, while its content is to be replaced.

    Stop every gateway that uses it, then restore again.
    """

    kind = Kind.CONFLICT
    code = "database-in-use"
    title = "The database is in use"


def restore(
    settings: Settings, file: Path, keyring: Path | None, passphrase_file: Path | None, *, objects: Path | None = None, force: str | None
) -> None:
    """Restore `file`, its files of knowledge into the store, and its key ring into the data directory unless that is in the settings."""
    quiet_logs()
    _require_backup(file)
    ring = _ring_of(settings, keyring or keyring_of(file), passphrase_file, asked=keyring is not None)
    archive = objects or archive_of(file)
    if objects is not None or archive.exists():
        require_archive(archive)
    with Storage(settings) as storage:
        dsn = storage.dsn()
        tables = asyncio.run(_find_tables(dsn))
        _require_permission(dsn, tables, force)
        _read_in(dsn, file, emptied=bool(tables))
        asyncio.run(migrate(dsn))
        if ring is not None:
            _keep_ring(settings, ring)
        _restore_objects(settings, dsn, archive)
        asyncio.run(_say_what_is_missing(settings, dsn))


def _require_backup(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            magic = opened.read(5)
    except OSError as error:
        raise CommandRefused(f"{file} cannot be read: {error.strerror}.", hint="Name a file that `pointsman db backup` wrote.") from None
    if magic != b"PGDMP":
        raise CommandRefused(f"{file} is no backup.", hint="Name a file that `pointsman db backup` wrote.")


def _ring_of(settings: Settings, path: Path, passphrase_file: Path | None, *, asked: bool) -> str | None:
    """The ring to put into the data directory; opened before anything is changed."""
    if settings.keyring.keys or (not asked and not path.exists()):
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandRefused(f"{path} cannot be read: {error.strerror}.", hint="Name the FILE.keyring of the backup.") from None
    return unseal(content, ask_passphrase(passphrase_file, new=False))


async def _find_tables(dsn: str) -> list[str]:
    connection = await connect(dsn, role=None)
    try:
        others = await connection.fetchval(_OTHERS)
        found = [row[0] for row in await connection.fetch(_OURS)]
    finally:
        await connection.close()
    if others:
        raise DatabaseInUse(f"{others} connections to the database are open.", hint="Stop every gateway that uses it.")
    return found


def _require_permission(dsn: str, tables: list[str], force: str | None) -> None:
    name = urlsplit(dsn).path.lstrip("/")
    if force is not None and force != name:
        raise CommandRefused(f"--force names {force!r}, but the database is {name!r}.", hint="Is it the right one?")
    if tables and force is None:
        raise DatabaseNotEmpty(
            f"Database {name!r} has {len(tables)} tables and sequences, such as {', '.join(tables[:3])}.",
            hint=f"Name a new --data-dir, or delete everything in it with --force {name}.",
        )
    if tables:
        say(f"deleting {len(tables)} tables and sequences of database {name!r}")


def _read_in(dsn: str, file: Path, *, emptied: bool) -> None:
    """In one transaction: what was there is gone only if what comes is there."""
    ears, mouth = os.pipe()
    reader = threading.Thread(target=_recite, args=(file, mouth))
    reader.start()
    prelude = ["--command", _EMPTIED] if emptied else []
    options = ["-X", "--quiet", "--output=/dev/null", "--single-transaction", "--set=ON_ERROR_STOP=1", *prelude, "--file=-"]
    try:
        code = run_tool("psql", dsn, *options, environment={"PGOPTIONS": "-c client_min_messages=warning"}, stdin=ears)
    finally:
        os.close(ears)
        reader.join()
    if code != 0:
        raise BackupFailed(f"{file} could not be read into the database, which is as it was.", hint="What was printed above says why.")


def _recite(file: Path, mouth: int) -> None:
    """Write the backup as SQL, with an end that fails if it is not the real one: psql would commit what came before a silent end."""
    argv = [str(binary("pg_restore")), "--no-owner", "--no-privileges", "--file=-", str(file)]
    with os.fdopen(mouth, "wb") as sql, suppress(BrokenPipeError):
        if subprocess.run(argv, stdout=sql, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, check=False).returncode != 0:  # noqa: S603
            sql.write(_CUT_OFF)


def _keep_ring(settings: Settings, ring: str) -> None:
    path = settings.data_dir / RING_FILE
    if path.exists():
        if path.read_text(encoding="ascii").split() == ring.split():
            return
        kept = path.with_name(f"{RING_FILE}.before-restore")
        path.replace(kept)
        say(f"the key ring that was here is in {kept}")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, ring.encode())


def _restore_objects(settings: Settings, dsn: str, archive: Path) -> None:
    base = Place.of_store(settings).base
    if archive.is_file():
        restored, missing = asyncio.run(restore_objects(settings, dsn, archive))
        say(f"{files(restored)} of knowledge: in {base}")
    else:
        missing = len(asyncio.run(find_referred(dsn)))
    if missing:
        say(f"NOT in the backup: {files(missing)} that the database refers to")
        say(f"what was indexed of them is found, but they can be read again only if {base} has them")


async def _say_what_is_missing(settings: Settings, dsn: str) -> None:
    say("restored; `pointsman up` (or `serve`) works on it now")
    if not settings.keyring.keys and not (settings.data_dir / RING_FILE).exists():
        say(f"put the key ring of the backup into {settings.data_dir / RING_FILE} (0600) before: a new one opens nothing")
    else:
        await check_ring(dsn, KeyRing.open(settings.data_dir, settings.keyring.keys))
    say("your keys work as they did when the backup was made; if you have no admin key of it: `pointsman keys bootstrap --rotate`")
    if (settings.data_dir / "admin-key").exists():
        say(f"the key in {settings.data_dir / 'admin-key'} may be that of another database: rotate it, too")
