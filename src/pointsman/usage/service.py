"""Usage reports: the verbs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pointsman.kit.db import Database
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.usage import queries
from pointsman.usage.queries import Filters
from pointsman.usage.schemas import GROUPS, Group, UsageGroup, UsageReport, UsageTotals

MOST_GROUPS = 10_000
_FIRST_ID, _LAST_ID = -(2**31), 2**31 - 1


class UsageService:
    """Sums what was spent."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def report(self, principal: Principal, filters: Filters, groups: Sequence[Group]) -> UsageReport:
        """Grouped sums, and the sum of all. Raises InvalidRequest when there are more groups than a report may have."""
        filters = filters._replace(tenant=principal.visible_tenant)
        async with self._db.transaction() as connection:
            # Both sums see the same rows.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            total = await queries.sum_usage(connection, filters, (), 1)
            rows = await queries.sum_usage(connection, filters, groups, MOST_GROUPS + 1) if groups else []
        if len(rows) > MOST_GROUPS:
            message = f"That makes more than {MOST_GROUPS} groups."
            raise InvalidRequest(message, hint="Choose a shorter time or fewer groups.", errors=(FieldError("/query/group_by", message),))
        sums = list(UsageTotals.model_fields)
        return UsageReport(
            items=[UsageGroup(**{name: row[name] for name in [*groups, *sums]}) for row in rows],
            total=UsageTotals(**{name: total[0][name] for name in sums}),
        )

    async def ids_used(self) -> float:
        """Which fraction of the numbers for `token_usage.id`, an INTEGER, is used up."""
        async with self._db.connection() as connection:
            last = await queries.last_usage_id(connection)
        return (last - _FIRST_ID) / (_LAST_ID - _FIRST_ID)


def parse_groups(text: str | None) -> tuple[Group, ...]:
    """`day,agent_id` as groups. Raises InvalidRequest."""
    names = [name.strip() for name in text.split(",")] if text else []
    unknown = [name for name in names if name not in GROUPS]
    if unknown or len(set(names)) < len(names):
        message = f"group_by is a list of different names among {', '.join(GROUPS)}."
        raise InvalidRequest(message, errors=(FieldError("/query/group_by", message),))
    return tuple(group for name in names for group in GROUPS if group == name)


def as_csv(report: UsageReport, groups: Sequence[Group]) -> str:
    """The groups as CSV with a header; without groups the total is the one row."""
    text = io.StringIO()
    writer = csv.writer(text)  # its CRLF is RFC 4180's, and makes it quote a lone CR or LF in a value
    columns = [*groups, *UsageTotals.model_fields]
    writer.writerow(columns)
    for item in report.items if groups else [report.total]:
        values = item.model_dump()
        writer.writerow([_cell(values[column]) for column in columns])
    return text.getvalue()


def _cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula: ids are the callers' to choose."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else value
