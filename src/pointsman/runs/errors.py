"""What can be wrong with asking for a run."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class RunNotFound(Problem):
    """No run has this id, or it belongs to another tenant.

    Runs are listed by `GET /v2/runs`.
    """

    kind = Kind.NOT_FOUND
    code = "run-not-found"
    title = "No such run"


class RunEventsExpired(Problem):
    """The run ended longer ago than `POINTSMAN_RETENTION__EVENTS` keeps events, so its stream cannot be replayed any more.

    The run itself, with its answer, is at `GET /v2/runs/{id}`, and its messages are in its session.
    """

    kind = Kind.GONE
    code = "run-events-expired"
    title = "The run's events have expired"


class RunEnded(Problem):
    """The run has already reached its end, so it can be neither cancelled nor resumed.

    Its outcome is at `GET /v2/runs/{id}`; start a new run to try again.
    """

    kind = Kind.CONFLICT
    code = "run-ended"
    title = "The run has ended"


class RunIsRunning(Problem):
    """The run is being driven by a live replica, so there is nothing to resume.

    Follow it at `GET /v2/runs/{id}/events`.
    """

    kind = Kind.CONFLICT
    code = "run-is-running"
    title = "The run is running"


class RunIsPaused(Problem):
    """The run waits for decisions and goes on by itself when there are; nothing was sent that decides about any.

    `GET /v2/approvals?run_id=` lists what it asks for. Send `{"approvals": [{"id": …, "decision": "approve"}]}` to
    `POST /v2/runs/{id}/resume`, or decide each with `POST /v2/approvals/{id}/approve` or `…/deny`.
    """

    kind = Kind.CONFLICT
    code = "run-is-paused"
    title = "The run waits for decisions"


class RunInterrupted(Problem):
    """The run was taken over again and again because each replica that drove it died; it was failed to break the circle.

    Look into the log for why the replicas died, then start a new run.
    """

    kind = Kind.UNAVAILABLE
    code = "run-interrupted"
    title = "The run was interrupted too often"


class RunTimedOut(Problem):
    """The run took longer than `POINTSMAN_RUNS__MAX_DURATION` allows, model calls and tools together.

    Ask for less in one turn, or raise the limit.
    """

    kind = Kind.UPSTREAM_TIMEOUT
    code = "run-timed-out"
    title = "The run took too long"


class TooManyRuns(Problem):
    """This process drives as many runs as `POINTSMAN_LIMITS__LIVE_RUNS` allows, or as many of one tenant as is its share of them.

    `POINTSMAN_LIMITS__TENANT_SHARE` sets the share. Retry after the seconds in `Retry-After`, or add replicas.
    """

    kind = Kind.UNAVAILABLE
    code = "too-many-runs"
    title = "Too many runs at the same time"


class TooManyStreams(Problem):
    """This process serves as many event streams as `POINTSMAN_LIMITS__STREAMS` allows; no run was started.

    Retry after the seconds in `Retry-After`, ask without `stream`, or add replicas.
    """

    kind = Kind.UNAVAILABLE
    code = "too-many-streams"
    title = "Too many streams at the same time"
