"""What model calls spent in the tests: written by the ledger, dated afterwards, and summed in plain Python."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal
from pointsman.llm.port import Spend, Usage
from pointsman.usage.ledger import NAMES, TYPES, UsageRow, columns, counting

_PLACES = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(TYPES, start=1))
WRITE = f"WITH given AS (SELECT * FROM unnest({_PLACES}) AS u ({NAMES})), {counting('given')} SELECT count(*) FROM spent"
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SUMS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "cost", "calls", "estimated_calls")


@dataclass(frozen=True)
class Spent:
    """A row of the ledger and when it was written."""

    row: UsageRow
    at: dt.datetime

    def value(self, group: str) -> Any:
        match group:
            case "day":
                return self.at.date().isoformat()
            case "model":
                return self.row.spend.model
            case "tenant_id":
                return self.row.tenant_id or None
            case _:
                return getattr(self.row, group)


@dataclass
class Books:
    """The ledger and a copy of it to compare with."""

    db: Database
    owner: Connection
    rows: list[Spent] = field(default_factory=list[Spent])

    async def write(self, *spent: Spent) -> int:
        async with self.db.connection() as connection:
            written = await connection.fetchval(WRITE, *columns([one.row for one in spent]))
        for one in spent:
            await self.owner.execute(
                "UPDATE token_usage SET created_at = $1 FROM usage_details d WHERE d.usage_id = id AND d.run_id = $2 AND d.call = $3",
                one.at,
                one.row.run_id,
                one.row.call,
            )
        self.rows += spent
        return written


def spent(number: int = 0, *, at: dt.datetime = START, usage: Usage | None = None, cost: Decimal | None = None, **fields: Any) -> Spent:
    model = fields.pop("model", "scripted:echo")
    facts: dict[str, Any] = {"agent_id": "helper", "session_id": "s", "user_id": None, "key_id": 1, "tenant_id": ""}
    spend = Spend(model, usage or Usage(prompt_tokens=1, completion_tokens=1), 5)
    return Spent(UsageRow(run_id=f"run{number}", call=0, spend=spend, cost=cost, **(facts | fields)), at)


def random_rows(count: int, seed: int = 7) -> list[Spent]:
    """Three days of five agents, three tenants and four models, one of which has no price."""
    chance = Random(seed)
    made: list[Spent] = []
    for number in range(count):
        usage = Usage(*(chance.randrange(2_000_000) for _ in range(5)), is_estimated=chance.random() < 0.2)
        made.append(
            spent(
                number,
                at=START + dt.timedelta(seconds=chance.randrange(3 * 86_400), microseconds=chance.randrange(10**6)),
                usage=usage,
                cost=None if chance.random() < 0.3 else Decimal(chance.randrange(10**9)).scaleb(-9),
                model=chance.choice(("openai:gpt-4o", "anthropic:claude", "scripted:echo", "mine:llama")),
                agent_id=f"agent{chance.randrange(5)}",
                session_id=f"session{chance.randrange(20)}",
                user_id=chance.choice((None, "ann", "bob")),
                key_id=chance.choice((None, 1, 2)),
                tenant_id=chance.choice(("", "acme", "globex")),
            )
        )
    return made


def summed(rows: Sequence[Spent], groups: Sequence[str]) -> list[dict[str, Any]]:
    """The report that the rows should give."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: dict.fromkeys(SUMS, 0) | {"cost": Decimal(0), "unpriced_calls": 0})
    for one in rows:
        usage, total = one.row.spend.usage, sums[tuple(one.value(group) for group in groups)]
        for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"):
            total[name] += getattr(usage, name)
        total["cost"] += one.row.cost or 0
        total["calls"] += 1
        total["estimated_calls"] += usage.is_estimated
        total["unpriced_calls"] += one.row.cost is None
    return [
        dict(zip(groups, key, strict=True)) | total | {"cost": float(total["cost"])}
        for key, total in sorted(sums.items(), key=lambda item: [(value is None, value) for value in item[0]])
    ]


def principal(*, owner: str | None = None, tenant: str | None = None) -> Principal:
    return Principal(key_id=1, key_name="k", owner_id=owner, scopes=frozenset({"usage:read"}), tenant=tenant or owner)
