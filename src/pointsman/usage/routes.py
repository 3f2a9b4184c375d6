"""The route of usage."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, TypeAdapter
from pydantic.config import JsonDict

from pointsman.usage.queries import Filters
from pointsman.usage.schemas import GROUPS, UsageReport
from pointsman.usage.service import UsageService, as_csv, parse_groups
from pointsman.web.deps import Caller, provided

router = APIRouter(tags=["usage"])

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SPAN = range(1970, 9999)  # within it a day can be added and any zone be turned into UTC


def _when(value: Any) -> Any:
    """Only the two written forms: a bare number is no moment, and midnight without a zone is no day."""
    if not isinstance(value, str):
        return value
    if _DAY.fullmatch(value):
        return dt.date.fromisoformat(value)
    if not _DAY.match(value) or "T" not in value.upper():
        raise ValueError("This is neither a day (2026-01-31) nor a moment with its zone (2026-01-31T12:00:00Z).")
    return TypeAdapter(AwareDatetime).validate_python(value)


def _within(value: dt.date) -> dt.date:
    if value.year not in _SPAN:
        raise ValueError(f"The year must be from {_SPAN.start} to {_SPAN.stop - 1}.")
    return value


When = Annotated[AwareDatetime | dt.date, BeforeValidator(_when), AfterValidator(_within)]
_GROUP = f" *({'|'.join(GROUPS)}) *"
_GROUP_BY: JsonDict = {"pattern": f"^({_GROUP}(,{_GROUP})*)?$"}
Filter = Annotated[str | None, Query(max_length=255)]


@router.get("/v2/usage", response_model=UsageReport, responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}})
async def report_usage(
    usage: Annotated[UsageService, Depends(provided(UsageService))],
    caller: Caller,
    since: Annotated[When | None, Query(alias="from", description="First moment (RFC 3339) or day (UTC).")] = None,
    until: Annotated[When | None, Query(alias="to", description="First moment after the report, or its last day (UTC).")] = None,
    agent_id: Filter = None,
    user_id: Filter = None,
    session_id: Filter = None,
    model: Filter = None,
    key_id: Annotated[int | None, Query(ge=0, le=2_147_483_647)] = None,
    group_by: Annotated[
        str | None, Query(max_length=255, description="Comma-separated, such as day,agent_id.", json_schema_extra=_GROUP_BY)
    ] = None,
    format: Annotated[Literal["json", "csv"], Query()] = "json",  # noqa: A002 - the name on the wire
) -> UsageReport | Response:
    """Sum tokens and cost, grouped as asked."""
    groups = parse_groups(group_by)
    filters = Filters(None, _moment(since), _moment(until, end=True), agent_id, user_id, session_id, model, key_id)
    report = await usage.report(caller, filters, groups)
    return PlainTextResponse(as_csv(report, groups), media_type="text/csv") if format == "csv" else report


def _moment(value: dt.datetime | dt.date | None, *, end: bool = False) -> dt.datetime | None:
    if value is None or isinstance(value, dt.datetime):
        return value
    return dt.datetime.combine(value + dt.timedelta(days=int(end)), dt.time(), dt.UTC)
