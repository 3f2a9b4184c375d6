"""The files of knowledge, in a folder of the host or a bucket: streamed in and out, never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.knowledge.stores import Place, open_store, store_failures
from pointsman.knowledge.storing_errors import ObjectMissing, StoreFailed, too_large
from pointsman.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_KEY = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*")
_PART = 5 * 2**20  # bytes; S3 takes no smaller ones
_PARTS_AT_ONCE = 2
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is kept: its size in bytes, and the SHA-256 of its content in hexadecimal."""

    uri: str
    size: int
    sha256: str


class Objects:
    """The gateway's object store. Raises StoreFailed from each method where the store cannot be used."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opened: ObjectStore | None = None

    @staticmethod
    def of(settings: Settings) -> Objects:
        """The store that the settings name. Raises SettingsInvalid."""
        return Objects(Place.of_store(settings))

    def uri(self, key: str) -> str:
        """The URI that the file of a key has, or would have."""
        return self._place.uri(key)

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, most: int) -> Stored:
        """Keep a file under a key (`a/b.pdf`: letters, digits and `._=-`), in place of what had it; whole or not at all.

        `chunks` may be of any size. Raises TooLarge past `most` bytes, and what `chunks` raises; both leave nothing.
        """
        import obstore  # noqa: PLC0415 - a library of 20 MB, which a process that keeps no files does not need

        if not is_key(key):
            raise ValueError(f"{key!r} is no key of an object.")
        counted = _Counted(chunks, most)
        local = self._place.folder / key if self._place.folder else None
        try:
            if local:
                await asyncio.to_thread(_make_private, local.parent, self._place.folder)
            await obstore.put_async(
                self._store(), key, counted.read(), use_multipart=True, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE
            )
            if local:
                await asyncio.to_thread(_settle, local)
        except asyncio.CancelledError:
            await counted.stop()
            raise
        except store_failures() as error:
            if counted.failure is not None:
                raise counted.failure from None
            raise StoreFailed(f"The file could not be kept: {_reason(error)}.") from error
        return Stored(self._place.uri(key), counted.size, counted.sha256)

    async def read(self, uri: str) -> AsyncIterator[bytes]:
        """The bytes of a file, in chunks of about 1 MB. Raises ObjectMissing."""
        import obstore  # noqa: PLC0415 - as above

        try:
            got = await obstore.get_async(self._store(), self._key(uri))
            async for chunk in got.stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)
        except FileNotFoundError:
            raise ObjectMissing(f"There is no {uri} any more.") from None
        except store_failures() as error:
            raise StoreFailed(f"The file could not be read: {_reason(error)}.") from error

    async def delete(self, uri: str) -> None:
        """Remove a file, and what a put of it left that was killed. Repeatable."""
        import obstore  # noqa: PLC0415 - as above

        key = self._key(uri)
        try:
            if self._place.folder:
                await asyncio.to_thread(_remove_staged, self._place.folder / key)
            await obstore.delete_async(self._store(), key)
        except FileNotFoundError:
            return
        except store_failures() as error:
            raise StoreFailed(f"The file could not be deleted: {_reason(error)}.") from error

    async def list(self, prefix: str = "") -> list[str]:
        """The URIs of all files below a prefix of whole parts (`a/b` for `a/b/c.pdf`, and not for `a/bc.pdf`)."""
        import obstore  # noqa: PLC0415 - as above

        try:
            listed = obstore.list(self._store(), prefix or None)  # pyright: ignore[reportUnknownMemberType] - an overload of a library it may lack
            return [self._place.uri(entry["path"]) async for batch in listed for entry in batch]
        except FileNotFoundError:
            return []
        except store_failures() as error:
            raise StoreFailed(f"The files could not be listed: {_reason(error)}.") from error

    def _store(self) -> ObjectStore:
        if self._opened is None:
            self._opened = open_store(self._place)
        return self._opened

    def _key(self, uri: str) -> str:
        key = self._place.key(uri)
        if key is None or not is_key(key):
            raise ObjectMissing(f"{uri} does not lie in the gateway's object store, which is {self._place.base}.")
        return key


def is_key(key: str) -> bool:
    """Whether an object may have this key, which leads nowhere else."""
    return _KEY.fullmatch(key) is not None


class _Counted:
    """Chunks on their way into the store."""

    def __init__(self, chunks: AsyncIterable[bytes], most: int) -> None:
        self._chunks = chunks
        self._most = most
        self._hash = hashlib.sha256()
        self._reader: asyncio.Task[Any] | None = None
        self.size = 0
        self.failure: BaseException | None = None

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def read(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._chunks)
        try:
            while True:
                self._reader = asyncio.current_task()  # each time another one, which the library makes
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                self.size += len(chunk)
                if self.size > self._most:
                    raise too_large(self._most)
                self._hash.update(chunk)
                yield chunk
        except BaseException as error:
            self.failure = error
            raise

    async def stop(self) -> None:
        """The library forgets whom it asked for a chunk: waiting for a sender that says nothing ends here."""
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()
            await asyncio.wait({self._reader})


def _make_private(folder: Path, top: Path | None) -> None:
    """Make a folder that only the gateway's account may enter, with those above it up to the store's own."""
    if folder.is_dir():
        return
    if top is None or folder != top:
        _make_private(folder.parent, top)
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _remove_staged(file: Path) -> None:
    """The library writes beside the file (`name#1`, or the next number that is free) and renames it at the end."""
    for number in count(1):
        try:
            file.with_name(f"{file.name}#{number}").unlink()
        except FileNotFoundError:
            return


def _settle(file: Path) -> None:
    """The file is on the disk when its row says so, and nobody else's to read."""
    with file.open("rb") as opened:
        os.fchmod(opened.fileno(), 0o600)
        os.fsync(opened.fileno())


def _reason(error: BaseException) -> str:
    """The first line: what follows is for the library's own people."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
