"""What indexing needs of whoever reads documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from pointsman.knowledge.chunking import Chunk

ReadDocument = Callable[[Path, str, str | None], Awaitable[Sequence[Chunk]]]
"""The chunks of a document from its file, name and content type. Raises Unreadable, whose text is for the user."""
