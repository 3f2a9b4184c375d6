"""What reading and cancelling runs needs of those who drive supervised ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pointsman.kit.db import Connection


class SupervisedRuns(Protocol):
    """Runs of kind `supervised`, which no replica drives."""

    async def describe(self, connection: Connection, run_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """What became of each of these, as `RunSupervisor` has it."""
        ...

    async def stop(self, connection: Connection, run_id: str) -> None:
        """The caller's transaction asks for it to be cancelled: whoever drives it is told."""
        ...
