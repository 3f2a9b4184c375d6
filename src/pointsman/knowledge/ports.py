"""What indexing needs of those who keep objects and read documents."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from pointsman.knowledge.chunking import Chunk
from pointsman.knowledge.objects import Stored


class ObjectStore(Protocol):
    """Where the bytes of files lie; `objects.Objects` is one."""

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, most: int) -> Stored:
        """Store under a key. Raises TooLarge past `most` bytes and StoreFailed, both leaving nothing."""
        ...

    def read(self, uri: str) -> AsyncIterator[bytes]:
        """The bytes of an object. Raises ObjectMissing, StoreFailed."""
        ...

    async def delete(self, uri: str) -> None:
        """Remove it; repeatable. Raises StoreFailed."""
        ...

    def uri(self, key: str) -> str:
        """The URI that the object of a key has, or will have."""
        ...


ReadDocument = Callable[[Path, str, str | None], Awaitable[Sequence[Chunk]]]
"""The chunks of a document from its file, name and content type. Raises Unreadable, whose text is for the user."""
