"""Takes files from where a URI says, if the operator lets files be taken from there."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from pointsman.kit.egress import Egress
from pointsman.kit.egress.errors import EgressTooLarge
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.stores import Place
from pointsman.knowledge.storing_errors import ObjectMissing, SourceMissing, SourceRefused, too_large
from pointsman.settings import Settings

_CHUNK = 2**20
_WITHIN = timedelta(minutes=10)
_BUCKETS = ("s3", "gs", "az")
_LONGEST_NAME = 500


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read once: its name by the URI, its type where the other side tells one."""

    filename: str
    content_type: str | None
    chunks: AsyncIterator[bytes]


class Sources:
    """Every place that files may be taken from. `egress` takes what is behind `https://`."""

    def __init__(self, settings: Settings, egress: Egress) -> None:
        """Raises SettingsInvalid for a store that cannot be used as one."""
        self._egress = egress
        self._roots = [Path(root) for root in settings.knowledge.file_roots]
        self._own = [path for path in (settings.data_dir, Place.of_store(settings).folder) if path]
        self._places = [Place.at(base, options) for base, options in settings.knowledge.sources.items()]

    def check(self, uri: str) -> None:
        """Refuse what can be refused without asking anybody. Raises SourceRefused, EgressRefused."""
        match _parts(uri).scheme.lower():
            case "https":
                self._egress.check_url(uri)
            case "file":
                self._path(uri)
            case scheme if scheme in _BUCKETS:
                self._place(uri)
            case _:
                raise SourceRefused(
                    "The URI is none that files are taken from.", hint="Such are https://, file://, s3://, gs:// and az://."
                )

    @asynccontextmanager
    async def open(self, uri: str, *, most: int) -> AsyncGenerator[Source]:
        """A file of at most `most` bytes.

        Raises what `check` raises, SourceMissing, StoreFailed and what Egress.stream raises; its chunks raise TooLarge and the same.
        """
        self.check(uri)
        filename = _name(uri)
        match _parts(uri).scheme.lower():
            case "https":
                try:
                    async with self._egress.stream(uri, max_bytes=most, timeout=_WITHIN) as streamed:
                        yield Source(filename, streamed.media_type, streamed.chunks)
                except EgressTooLarge:
                    raise too_large(most) from None
            case "file":
                descriptor = await asyncio.to_thread(self._opened, uri)
                try:
                    yield Source(filename, None, _read(descriptor, most))
                finally:
                    os.close(descriptor)
            case _:
                yield Source(filename, None, _stored(Objects(self._place(uri)), uri, most))

    def _place(self, uri: str) -> Place:
        for place in self._places:
            if place.key(uri):
                return place
        raise SourceRefused("No file may be taken from this store.", hint="The operator names the stores in POINTSMAN_KNOWLEDGE__SOURCES.")

    def _path(self, uri: str) -> Path:
        """The path of a `file://` URI that lies below a root by its spelling; whether it does so indeed is known when it is opened."""
        parts = _parts(uri)
        path = Path(unquote(parts.path))
        if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment or not path.is_absolute() or "\0" in str(path):
            raise SourceRefused("The URI is no path of this host.", hint="Write it as file:///folder/file, with %23 for # and %3F for ?.")
        if ".." in path.parts or not any(path.is_relative_to(root) for root in self._roots):
            raise _outside()
        return path

    def _opened(self, uri: str) -> int:
        """Open the file and then look where it lies, so that no link can be put in its place in between."""
        path = self._path(uri)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceMissing(f"There is no file at {uri} that can be read: {error.strerror}.") from None
        try:
            self._require_allowed(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _require_allowed(self, descriptor: int) -> None:
        real = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not any(real.is_relative_to(root.resolve()) for root in self._roots):
            raise _outside()
        if any(real.is_relative_to(own.resolve()) for own in self._own):
            raise SourceRefused("No file may be taken from the gateway's own folder.")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceMissing("There is no file at the URI, but a folder, pipe or device.")


async def _read(descriptor: int, most: int) -> AsyncIterator[bytes]:
    size = 0
    while chunk := await asyncio.to_thread(os.read, descriptor, _CHUNK):
        size += len(chunk)
        if size > most:
            raise too_large(most)
        yield chunk


async def _stored(objects: Objects, uri: str, most: int) -> AsyncIterator[bytes]:
    size = 0
    try:
        async for chunk in objects.read(uri):
            size += len(chunk)
            if size > most:
                raise too_large(most)
            yield chunk
    except ObjectMissing:
        raise SourceMissing(f"There is no file at {uri}.") from None


def _parts(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError:  # brackets that hold no address
        raise SourceRefused("The URI cannot be read.", hint="Write it as https://host/path.") from None


def _name(uri: str) -> str:
    return unquote(_parts(uri).path).rstrip("/").rpartition("/")[2][-_LONGEST_NAME:].replace("\0", "") or "file"


def _outside() -> SourceRefused:
    """The same words whether there is something or not: nobody explores a host with them."""
    return SourceRefused(
        "The URI lies outside what files may be taken from.", hint="The operator names the folders in POINTSMAN_KNOWLEDGE__FILE_ROOTS."
    )
