"""What can go wrong with schedules."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class ScheduleNotFound(Problem):
    """No active schedule has this id. A deleted schedule counts as absent, and those of other tenants look the same.

    `GET /v2/schedules` lists them.
    """

    kind = Kind.NOT_FOUND
    code = "schedule-not-found"
    title = "There is no such schedule"


class ScheduleExists(Problem):
    """An active schedule already has this id.

    Choose another id, leave it out to get a generated one, or change the existing one with `PATCH /v2/schedules/{id}`.
    """

    kind = Kind.CONFLICT
    code = "schedule-exists"
    title = "A schedule with this id exists"


class ScheduleKeyGone(Problem):
    """The key that made the schedule is revoked, expired or no longer has the scope, so nothing is asked in its name.

    Create the schedule again with a key that works; PATCH with any change makes the schedule the changing key's own.
    """

    kind = Kind.FORBIDDEN
    code = "schedule-key-gone"
    title = "The schedule's key works no more"


class ScheduleForbidden(Problem):
    """A schedule asks in the name of the key that makes it, and this key may not ask such a subject itself.

    Use a key with `agents:run` for agents, `teams:run` for teams.
    """

    kind = Kind.FORBIDDEN
    code = "schedule-forbidden"
    title = "The key may not ask this by itself"
