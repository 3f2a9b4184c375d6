"""Calls that leave the gateway are noted before they do: one whose answer died with its process is not made a second time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from pointsman.approvals.rows import Asking
from pointsman.kit.db import Database
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.tools import queries
from pointsman.tools.sources import SourceTools
from pointsman.turns.ports import ToolOutcome, Waits

_LONGEST_ID = 200
UNKNOWN = (
    "This call was made before and its answer was lost when the gateway stopped. It may or may not have been done, and was not made again. "
    "Find out whether it was done, or ask, before you call it once more."
)


class Sent:
    """A source's tools in a run that may be taken over: each call that may change something is made at most once."""

    def __init__(self, inner: SourceTools, db: Database, run_id: str, step: Callable[[], int]) -> None:
        """Wrap `inner`; `step` says which answer of the model the calls belong to."""
        self._inner = inner
        self._db = db
        self._run_id = run_id
        self._step = step

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        return self._inner.specs

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run the tool, or say that it may have been run before."""
        if not self._inner.may_repeat(call.name) and not await self._note(call):
            return ToolOutcome(UNKNOWN, is_error=True)
        return await self._inner.call(call)

    async def _note(self, call: ToolCall) -> bool:
        async with self._db.connection() as connection:
            return await queries.note_sent(connection, self._run_id, self._step(), _key(call.id))


def _key(call_id: str) -> str:
    """Providers choose their ids; one that no column would take is known by its hash."""
    if len(call_id) <= _LONGEST_ID and "\0" not in call_id:
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()
