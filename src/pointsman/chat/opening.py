"""Opening runs, and letting go of those that the database holds for driven here though they are not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from pointsman.agents.resolve import snapshot
from pointsman.chat import planning
from pointsman.chat.facts import RunFacts
from pointsman.chat.journal import Journal, Opening, OpenRun
from pointsman.chat.planning import Prepared
from pointsman.chat.schemas import ChatRequest
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.runs import events, queries
from pointsman.runs.events import encode, encode_json
from pointsman.runs.live import BLOCK, LiveRun
from pointsman.sessions.errors import SessionBusy, SessionNotFound

_PATIENCE = 3.0
_SNAPSHOTS_KNOWN = 10_000
_STORE_AGAIN = 3600.0


class Openings:
    """Opens runs for one replica."""

    def __init__(self, db: Database, journal: Journal, replica: str) -> None:
        self._db = db
        self._journal = journal
        self._replica = replica
        self._adrift: dict[str, _Adrift] = {}
        self._snapshots: dict[str, float] = {}  # hashes in the order they were met, and until when each is known to be stored

    async def open(self, facts: RunFacts, request: ChatRequest, prepared: Prepared) -> LiveRun | None:
        """The run, to be driven here; None when a request that was repeated has opened it elsewhere at the same time.

        Raises SessionNotFound, SessionBusy and Unavailable.
        """
        run = await self._run(facts, request, prepared)
        try:
            opening = await self._journal.open(run, patience=_PATIENCE)
        except Unavailable as problem:
            # It may have been opened all the same; its caller is told that it was not, so it must not be driven.
            if problem.fields.pop("tried", False):
                self.set_adrift(facts.id, epoch=1, cancel=True)
            raise
        if opening == "exists":
            return None
        if opening == "foreign":
            raise SessionNotFound(f"No session {facts.session_id!r} for this user.", hint="Give the user_id of the session's first turn.")
        if opening == "waiting":
            raise SessionBusy(
                "A turn of this session waits for a decision.",
                hint="Decide (GET /v2/approvals?status=pending lists what is asked), cancel that run, or use another session.",
                retry_after=60,
            )
        if opening != "opened":
            raise SessionBusy("Another turn of this session is running.", hint="Wait for it, or use another session.", retry_after=1)
        return _live(run)

    async def open_within(self, parent: LiveRun, facts: RunFacts, request: ChatRequest, prepared: Prepared) -> LiveRun | Opening:
        """The same for the run of a team's member, which waits for the database like its parent: the run, else why there is none."""
        run = await self._run(facts, request, prepared, parent)
        opening = await self._journal.open(run, patience=float("inf"))
        return _live(run) if opening == "opened" else opening

    def set_adrift(self, run_id: str, *, epoch: int, cancel: bool) -> None:
        """The process does not drive the run, whatever its row says; `cancel` where its caller was told that there is none."""
        self._adrift[run_id] = _Adrift(epoch, cancel)

    async def let_go(self) -> None:
        """Leave the runs that are adrift to whoever takes them over. Raises Unavailable."""
        if not self._adrift:
            return
        async with self._db.connection() as connection:
            for run_id, adrift in list(self._adrift.items()):
                await queries.let_go(connection, run_id, adrift.epoch, cancel=adrift.cancel)
                del self._adrift[run_id]

    async def _run(self, facts: RunFacts, request: ChatRequest, prepared: Prepared, parent: LiveRun | None = None) -> OpenRun:
        return OpenRun(
            id=facts.id,
            tenant_id=facts.tenant_id,
            kind=facts.kind,
            subject=facts.subject,
            session_id=facts.session_id,
            user_id=facts.user_id,
            key_id=facts.key_id,
            request=planning.stored_request(request).decode(),
            snapshot=await self._keep_snapshot(prepared.team or prepared.agent),
            verbosity=request.stream_verbosity,
            replica=self._replica,
            message=encode_json(prepared.message).decode(),
            started=encode(facts.id, 1, events.RUN_STARTED, _started(facts, request)),
            agent_id=facts.agent_id,
            parent_run_id=facts.parent.run_id if facts.parent else None,
            parent_epoch=parent.epoch if parent else None,
            parent_session_id=facts.parent.session_id if facts.parent else None,
        )

    async def _keep_snapshot(self, subject: msgspec.Struct) -> str:
        digest, data = snapshot(subject)
        # Retention removes a snapshot without runs that nobody has stored for a day.
        if self._snapshots.get(digest, 0.0) < time.monotonic():
            async with self._db.connection() as connection:
                await queries.store_snapshot(connection, digest, data)
            self._snapshots.pop(digest, None)
            if len(self._snapshots) >= _SNAPSHOTS_KNOWN:
                del self._snapshots[next(iter(self._snapshots))]
            self._snapshots[digest] = time.monotonic() + _STORE_AGAIN
        return digest


@dataclass(frozen=True, slots=True)
class _Adrift:
    epoch: int
    cancel: bool


def _live(run: OpenRun) -> LiveRun:
    live = LiveRun(run.id, epoch=1, next_seq=1, reserved=BLOCK)
    live.next_seq = 2
    live.publish([run.started])
    return live


def _started(facts: RunFacts, request: ChatRequest) -> dict[str, Any]:
    family = {"team_id": facts.team_id, "parent_run_id": facts.parent.run_id if facts.parent else None}
    return {
        "kind": facts.kind,
        "agent_id": facts.agent_id,
        **{name: value for name, value in family.items() if value is not None},
        "session_id": facts.session_id,
        "user_id": facts.user_id,
        "model": facts.model,
        "stream_verbosity": request.stream_verbosity,
    }
