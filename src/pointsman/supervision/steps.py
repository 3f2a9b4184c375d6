"""What is committed of a supervised run, all of it in one transaction and each of it once, whoever dies and however often it is tried."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pointsman.chat.facts import Spent
from pointsman.execution.engines.spending import account_of
from pointsman.kit.db import Connection, Database, Record, unavailable_when_away
from pointsman.kit.failpoints import Failpoint
from pointsman.kit.problems import Problem
from pointsman.llm.port import Message, Spend
from pointsman.runs import appending, events
from pointsman.runs.events import encode_json
from pointsman.supervision import queries
from pointsman.supervision.schemas import SupervisedAnswer, Supervisor
from pointsman.usage.cost import cost_of
from pointsman.usage.ledger import UsageRow

Told = tuple[str, dict[str, Any]]
Stage = Literal["classify", "jobs", "answer", "ended"]
Also = Callable[[Connection], Awaitable[None]]


class TakenOver(Exception):  # noqa: N818 - it is no error of this process
    """Another handler has the run now; nothing more may be written here."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a supervised run is, whoever has it."""

    run_id: str
    supervisor_run_id: uuid.UUID
    tenant_id: str
    team_id: str
    session_id: str
    user_id: str | None
    key_id: int | None
    leader_id: str

    @classmethod
    def of(cls, row: Record, leader_id: str) -> Facts:
        """From a claimed run."""
        return cls(
            run_id=row["id"],
            supervisor_run_id=row["supervisor_run_id"],
            tenant_id=row["tenant_id"],
            team_id=row["subject"],
            session_id=row["session_id"],
            user_id=row["user_id"],
            key_id=row["key_id"],
            leader_id=leader_id,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the run is: what comes next, the position of the message that it began with, and the number of the plan."""

    stage: Stage
    since: int = 0
    round: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """How the run ends, with the text and the output of its answer, and whom the leader asked."""

    status: Literal["completed", "failed", "cancelled"]
    model: str
    content: str
    output: Any = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What is committed together. `also` joins the transaction after everything is told but the end."""

    place: Place
    messages: Sequence[Message] = ()
    spent: Sequence[Spend] = ()
    told: Sequence[Told] = ()
    also: Also | None = None
    end: End | None = None


class Writer:
    """Writes the steps of a run for one of its owners, one at a time."""

    def __init__(self, db: Database, facts: Facts, *, epoch: int, step: int, position: int) -> None:
        """Begin behind `step` steps and `position` messages."""
        self.epoch = epoch
        self._db = db
        self._facts = facts
        self._step = step
        self._position = position

    async def write(self, step: Step, point: Failpoint) -> None:
        """One transaction; tried again after a lost confirmation, it finds its step taken and does nothing.

        Raises Unavailable, after which the same step has to be tried again before any other, and TakenOver.
        """

        async def change(connection: Connection) -> None:
            place, progress = step.place, bool(step.messages) or step.end is not None
            advanced = await queries.advance(
                connection,
                self._facts.run_id,
                self._step,
                stage=place.stage,
                since=place.since,
                round_=place.round,
                progress=progress,
                heard=progress or bool(step.spent),
            )
            if advanced:
                await self._take(connection, step)

        await self.fenced(change, point)
        self._step += 1
        self._position += len(step.messages)

    async def fenced(self, change: Also, point: Failpoint) -> None:
        """A transaction in which the run is this owner's. Raises Unavailable, TakenOver."""
        with unavailable_when_away():
            await point.reach("before")
            async with self._db.transaction() as connection:
                if not await queries.hold(connection, self._facts.run_id, self.epoch):
                    raise TakenOver(self._facts.run_id)
                await change(connection)
                await point.reach("in")
            await point.reach("after")

    async def _take(self, connection: Connection, step: Step) -> None:
        facts = self._facts
        for position, message in enumerate(step.messages, start=self._position):
            role, content = str(message.__struct_config__.tag), encode_json(message).decode()
            await queries.insert_message(connection, facts.run_id, position, facts.tenant_id, facts.session_id, role, content)
        usages = await self._count(connection, step)
        told = [*step.told, *((events.USAGE_RECORDED, usage.event()) for usage in usages)]
        await appending.append(connection, facts.run_id, told)
        if step.also is not None:
            await step.also(connection)
        if step.end is not None:
            await self._end(connection, step.end)

    async def _count(self, connection: Connection, step: Step) -> list[UsageRow]:
        if not step.spent and step.end is None:
            return []
        facts = self._facts
        first = await queries.next_call(connection, facts.run_id)
        rows = [
            UsageRow(
                run_id=facts.run_id,
                call=call,
                agent_id=facts.leader_id,
                session_id=facts.session_id,
                user_id=facts.user_id,
                key_id=facts.key_id,
                tenant_id=facts.tenant_id,
                spend=spend,
                cost=cost_of(spend.model, spend.usage),
            )
            for call, spend in enumerate(step.spent, start=first)
        ]
        await queries.count_usage(connection, facts.run_id, step.end.status if step.end else "running", rows)
        return rows

    async def _end(self, connection: Connection, end: End) -> None:
        facts = self._facts
        [story] = await queries.describe(connection, [facts.run_id])
        used = await queries.sum_usage(connection, [facts.run_id, *(account_of(str(job)) for job in story["jobs"])])
        spent = Spent(used["calls"], used["prompt_tokens"], used["completion_tokens"], used["is_estimated"], used["cost"])
        answer = SupervisedAnswer(
            run_id=facts.run_id,
            session_id=facts.session_id,
            team_id=facts.team_id,
            agent_id=facts.leader_id,
            model=end.model,
            status=end.status,
            content=end.content,
            output=end.output,
            usage=spent.read(),
            supervisor=Supervisor.of(story),
        )
        error = None if end.problem is None else end.problem.describe()
        payload: dict[str, Any] = msgspec.to_builtins(answer)
        del payload["run_id"]  # every event has it
        await appending.append(connection, facts.run_id, [(_ENDS[end.status], payload if error is None else {**payload, "error": error})])
        await queries.end_run(
            connection,
            facts.run_id,
            facts.supervisor_run_id,
            status=end.status,
            result=encode_json(answer).decode(),
            error=None if error is None else encode_json(error).decode(),
            output=end.content.replace("\x00", "") or None,
        )


_ENDS = {"completed": events.RUN_COMPLETED, "failed": events.RUN_FAILED, "cancelled": events.RUN_CANCELLED}
