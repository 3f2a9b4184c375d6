"""The verbs of schedules, each one transaction."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pointsman.audit.service import record
from pointsman.kit import json_text
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.schedules import queries
from pointsman.schedules.errors import ScheduleExists, ScheduleNotFound
from pointsman.schedules.ports import Subjects
from pointsman.schedules.schemas import Ask, FireRead, ScheduleCreate, SchedulePatch, ScheduleRead
from pointsman.schedules.times import next_time
from pointsman.web.paging import Page, decode_cursor, page_of


class ScheduleService:
    """Schedules as data; `Firing` makes them act."""

    def __init__(self, db: Database, subjects: Subjects) -> None:
        self._db = db
        self._subjects = subjects

    async def create_schedule(self, principal: Principal, body: ScheduleCreate) -> ScheduleRead:
        """The new schedule; a deleted one comes back. Raises ScheduleExists, and the Problem of a subject that is not there."""
        await self._subjects.require(principal, body.subject_type, body.subject_id)
        schedule_id = body.id or new_id("sch")
        values = {
            "tenant_id": principal.tenant_key,
            "id": schedule_id,
            "name": body.name,
            "subject_type": body.subject_type,
            "subject_id": body.subject_id,
            **_timed(body.cron, body.timezone, body.missed, body.request, paused=body.paused, principal=principal),
        }
        async with self._db.transaction() as connection:
            row = await queries.put_schedule(connection, values, over=False)
            if row is None:
                raise ScheduleExists(f"An active schedule has the id {schedule_id}.", hint="Choose another id, or change it with PATCH.")
            await _note(connection, principal, "schedule.created", row)
        return ScheduleRead.of(row)

    async def list_schedules(self, principal: Principal, *, subject_id: str | None, limit: int, cursor: str | None) -> Page[ScheduleRead]:
        """By tenant and id."""
        key: Any = decode_cursor(cursor, str, str)
        async with self._db.connection() as connection:
            rows = await queries.list_schedules(
                connection, tenant=principal.visible_tenant, subject_id=subject_id, after=key, limit=limit + 1
            )
        return page_of(rows, limit, ScheduleRead.of, lambda row: (row["tenant_id"], row["id"]))

    async def require_schedule(self, principal: Principal, schedule_id: str) -> ScheduleRead:
        """An active schedule that the caller may see. Raises ScheduleNotFound."""
        async with self._db.connection() as connection:
            return ScheduleRead.of(await _require(connection, principal, schedule_id))

    async def list_fires(self, principal: Principal, schedule_id: str, *, limit: int, cursor: str | None) -> Page[FireRead]:
        """The times that came, newest first. Raises ScheduleNotFound."""
        key: Any = decode_cursor(cursor, str)
        before = dt.datetime.fromisoformat(key[0]) if key else None
        async with self._db.connection() as connection:
            schedule = await _require(connection, principal, schedule_id)
            rows = await queries.list_fires(
                connection, tenant=schedule["tenant_id"], schedule_id=schedule_id, before=before, limit=limit + 1
            )
        return page_of(rows, limit, FireRead.of, lambda row: (row["due_at"].isoformat(),))

    async def update_schedule(self, principal: Principal, schedule_id: str, patch: SchedulePatch) -> ScheduleRead:
        """As changed, from now on in the name of the changing key. Raises ScheduleNotFound, ScheduleForbidden, InvalidRequest."""
        sent = {name: getattr(patch, name) for name in patch.model_fields_set}
        schedule = await self.require_schedule(principal, schedule_id)
        await self._subjects.require(principal, schedule.subject_type, schedule.subject_id)
        async with self._db.transaction() as connection:
            row = await _require(connection, principal, schedule_id, lock=True)
            request = sent.get("request") or Ask.model_validate(json_text.decode(row["request"]))
            cron, timezone, missed = (sent.get(name, row[name]) for name in ("cron", "timezone", "missed"))
            values = {
                **{name: row[name] for name in ("tenant_id", "id", "name", "subject_type", "subject_id")},
                **({"name": patch.name} if "name" in sent else {}),
                **_timed(cron, timezone, missed, request, paused=sent.get("paused", row["paused"]), principal=principal),
            }
            changed = await queries.put_schedule(connection, values, over=True)
            assert changed is not None
            await _note(connection, principal, "schedule.updated", changed, fields=sorted(sent))
        return ScheduleRead.of(changed)

    async def delete_schedule(self, principal: Principal, schedule_id: str) -> None:
        """Deleted softly; repeatable. Raises ScheduleNotFound."""
        async with self._db.transaction() as connection:
            before = await queries.find_schedule(connection, schedule_id, principal.visible_tenant, lock=True)
            row = await queries.delete_schedule(connection, schedule_id, principal.visible_tenant)
            if row is None:
                raise _not_found(schedule_id)
            if before is not None:
                await _note(connection, principal, "schedule.deleted", row)


def _timed(cron: str, timezone: str, missed: str, request: Ask, *, paused: bool, principal: Principal) -> dict[str, Any]:
    """The rest of the columns, in their order."""
    following = next_time(cron, timezone, dt.datetime.now(dt.UTC))
    if following is None:
        raise InvalidRequest("The time never comes.", errors=(FieldError("/cron", "This time never comes."),))
    return {
        "cron": cron,
        "timezone": timezone,
        "missed": missed,
        "request": json_text.encode(request.model_dump(mode="json", exclude_unset=True)),
        "user_id": request.user_id,
        "key_id": principal.key_id,
        "paused": paused,
        "next_at": None if paused else following,
    }


async def _require(connection: Connection, principal: Principal, schedule_id: str, *, lock: bool = False) -> Record:
    row = await queries.find_schedule(connection, schedule_id, principal.visible_tenant, lock=lock)
    if row is None:
        raise _not_found(schedule_id)
    return row


def _not_found(schedule_id: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"There is no active schedule {schedule_id}.", hint="GET /v2/schedules lists them.")


async def _note(connection: Connection, principal: Principal, action: str, row: Record, **detail: Any) -> None:
    said = {"subject": f"{row['subject_type']}:{row['subject_id']}", "cron": row["cron"], **detail}
    await record(connection, principal, action, "schedule", row["id"], said)
