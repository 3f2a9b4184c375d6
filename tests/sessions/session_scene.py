"""Sessions as turns leave them: rows of runs, messages and events, written by the journal that turns use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pointsman.chat.journal import Entry, Journal, NewMessage, Opening, OpenRun, Status
from pointsman.kit.db import Database
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.llm.port import AssistantMessage, Message, Spend, Text, Usage, UserMessage
from pointsman.runs.events import RUN_COMPLETED, RUN_STARTED, encode, encode_json
from pointsman.runs.queries import store_snapshot
from pointsman.usage.ledger import UsageRow


def principal(*, owner: str | None = None, tenant: str | None = None) -> Principal:
    return Principal(key_id=1, key_name="k", owner_id=owner, scopes=frozenset({"sessions:read"}), tenant=tenant or owner)


OPERATOR = principal()
SNAPSHOT = "0" * 64


@dataclass
class Talk:
    """Writes turns of sessions."""

    db: Database
    journal: Journal

    async def open(
        self, session: str, *, tenant: str = "", user: str | None = None, agent: str = "helper", said: Message | None = None
    ) -> str:
        run_id = new_id("run")
        assert await self.opening(run_id, session, tenant=tenant, user=user, agent=agent, said=said) == "opened"
        return run_id

    async def opening(
        self, run_id: str, session: str, *, tenant: str = "", user: str | None = None, agent: str = "helper", said: Message | None = None
    ) -> Opening:
        run = OpenRun(
            id=run_id,
            tenant_id=tenant,
            kind="chat",
            subject=agent,
            session_id=session,
            user_id=user,
            key_id=1,
            request="{}",
            snapshot=SNAPSHOT,
            verbosity="events",
            replica="rep_1",
            message=encode_json(said or UserMessage((Text("hello"),))).decode(),
            started=encode(run_id, 1, RUN_STARTED, {}),
        )
        return await self.journal.open(run, patience=5)

    async def end(
        self,
        run_id: str,
        session: str,
        *,
        tenant: str = "",
        messages: Sequence[Message] = (),
        status: Status = "completed",
        error: str | None = None,
        epoch: int = 1,
    ) -> bool:
        rows = [(str(one.__struct_config__.tag), encode_json(one).decode()) for one in messages]
        usage = UsageRow(run_id, 0, "helper", session, None, 1, tenant, Spend("scripted:echo", Usage(3, 4), 5), None)
        entry = Entry(
            run_id=run_id,
            epoch=epoch,
            tenant_id=tenant,
            session_id=session,
            status=status,
            messages=tuple(NewMessage(number, role, content) for number, (role, content) in enumerate(rows, start=1)),
            usages=(usage,),
            events=(encode(run_id, 2, RUN_COMPLETED, {}),),
            result="{}",
            error=error,
        )
        return await self.journal.enter(entry)

    async def turn(self, session: str, *, answer: str = "hi", **fields: Any) -> str:
        run_id = await self.open(session, **fields)
        await self.end(run_id, session, tenant=fields.get("tenant", ""), messages=[AssistantMessage((Text(answer),))])
        return run_id


@asynccontextmanager
async def talking(db: Database) -> AsyncGenerator[Talk]:
    async with db.connection() as connection:
        await store_snapshot(connection, SNAPSHOT, b"{}")
    journal = Journal(db, lambda _: False)
    loops = [asyncio.create_task(journal.run_opening()), asyncio.create_task(journal.run_entering())]
    try:
        yield Talk(db, journal)
    finally:
        for loop in loops:
            loop.cancel()
        for loop in loops:
            with suppress(asyncio.CancelledError):
                await loop
