"""What a session and the transports that carry it agree on, beside what the library of the protocol has."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Ends = tuple[Any, Any]
"""Where a session reads its messages and where it writes them: the library's types for them are not public."""

FAILED = -32091
"""The code of an error that a transport tells its session where a message did not get through or the answer did not get back."""

SESSION_LOST = -32092
"""The server does not know the session, so it did not do what it was asked."""


class Carrier(Protocol):
    """Carries the messages of one session."""

    @property
    def ended(self) -> bool:
        """Whether nothing can be carried any more."""
        ...

    def streams(self) -> AbstractAsyncContextManager[Ends]:
        """Begin, and end with the block."""
        ...

    def complaints(self) -> str:
        """What the server's operator should read where something went wrong."""
        ...
