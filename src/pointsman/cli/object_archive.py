"""The files of knowledge in a backup: a tar of the local object store beside the dump, of which a restore takes what the database names."""

from __future__ import annotations

import asyncio
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pointsman.cli.exits import CommandRefused
from pointsman.cli.keyring_file import write_private
from pointsman.kit.db import connect
from pointsman.knowledge.moving import move_store, referred_uris
from pointsman.knowledge.objects import Objects, is_key
from pointsman.knowledge.stores import Place
from pointsman.settings import Settings

_BASE = "POINTSMAN.base"  # a header of the tar: the URI that its names are below
_PIECE = 2**20


def archive_of(file: Path) -> Path:
    """Where the files of a backup lie."""
    return file.with_name(f"{file.name}.objects")


def files(count: int) -> str:
    """So many, in words."""
    return "1 file" if count == 1 else f"{count} files"


def require_archive(file: Path) -> None:
    """Raises CommandRefused for what is no such tar."""
    with _opened(file):
        pass


class Archive:
    """A tar of a folder of objects that is being written."""

    def __init__(self, tar: tarfile.TarFile, folder: Path, base: str) -> None:
        self._tar = tar
        self._folder = folder
        self._base = base
        self._held: set[str] = set()

    def add(self) -> None:
        """Put in what is there and not in yet. An object is never changed, so that one that was put in before the dump is good after it."""
        for path in sorted(self._folder.rglob("*")):
            key = path.relative_to(self._folder).as_posix()
            if key not in self._held and is_key(key) and path.is_file():
                with suppress(FileNotFoundError):  # deleted meanwhile
                    self._tar.add(path, arcname=key, filter=_anonymous)
                    self._held.add(key)

    def missing(self, uris: set[str]) -> int:
        """How many of these are not in it."""
        return len(uris - {f"{self._base}/{key}" for key in self._held})

    def __len__(self) -> int:
        """How many objects are in it."""
        return len(self._held)


@contextmanager
def written_archive(file: Path, folder: Path, base: str) -> Generator[Archive]:
    """Write `file`, which is there when the block has ended well, and only then. Raises CommandRefused."""
    part = file.with_name(f".{file.name}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        write_private(part, b"")
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT, pax_headers={_BASE: base}) as tar:
            yield Archive(tar, folder, base)
        os.replace(part, file)  # noqa: PTH105 - both names are paths of the same folder
    except OSError as error:
        raise CommandRefused(f"{file} cannot be written: {error.strerror}.", hint="Name a file in a folder with room.") from error
    finally:
        with suppress(OSError):
            part.unlink()


async def restore_objects(settings: Settings, dsn: str, file: Path) -> tuple[int, int]:
    """Put what the database refers to into the store of the settings, and tell the database; how many, and how many are missing.

    Raises CommandRefused for a file that is none of ours, StoreFailed where the store takes nothing.
    """
    objects, place = Objects.of(settings), Place.of_store(settings)
    connection = await connect(dsn, role=None)
    try:
        with _opened(file) as tar:
            base = tar.pax_headers.get(_BASE, "")
            wanted = {uri.removeprefix(f"{base}/") for uri in await referred_uris(connection) if uri.startswith(f"{base}/")}
            restored = 0
            for member in tar:
                if member.isfile() and member.name in wanted and (content := tar.extractfile(member)) is not None:
                    await objects.put(member.name, _pieces(content), most=sys.maxsize)
                    restored += 1
        if base != place.base:
            await move_store(connection, base, place.base)
    finally:
        await connection.close()
    return restored, len(wanted) - restored


async def find_referred(dsn: str) -> set[str]:
    """The URIs of the files that the database refers to."""
    connection = await connect(dsn, role=None)
    try:
        return await referred_uris(connection)
    finally:
        await connection.close()


@contextmanager
def _opened(file: Path) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:") as tar:
            if _BASE not in tar.pax_headers:
                raise CommandRefused(f"{file} holds no files of a backup.", hint="Name the FILE.objects of the backup.")
            yield tar
    except (tarfile.TarError, OSError) as error:
        raise CommandRefused(f"{file} cannot be read: {error}.", hint="Name the FILE.objects of the backup.") from None


async def _pieces(content: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(content.read, _PIECE):
        yield piece


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who owns it here."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
