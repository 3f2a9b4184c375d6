"""What can be wrong with asking for a job."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class JobNotFound(Problem):
    """No job has this id, or it belongs to another tenant.

    Jobs are listed by `GET /v2/jobs`.
    """

    kind = Kind.NOT_FOUND
    code = "job-not-found"
    title = "No such job"


class JobStateRefused(Problem):
    """What is asked for does not go with the state that the job is in.

    A job is retried only when it has failed, ran out of memory or met an open circuit breaker, and a job that has ended cannot be
    cancelled. `GET /v2/jobs/{id}` says which state it is in; the states are in the documents, under concepts.
    """

    kind = Kind.CONFLICT
    code = "job-state-refused"
    title = "The job is not in a state for this"


class JobEventsExpired(Problem):
    """The job ended longer ago than `POINTSMAN_RETENTION__EVENTS` keeps events, so its stream cannot be replayed any more.

    The job itself, with its result, is at `GET /v2/jobs/{id}`.
    """

    kind = Kind.GONE
    code = "job-events-expired"
    title = "The job's events have expired"


class JobWorkspaceMissing(Problem):
    """The job has no workspace of this kind: it was given none, or has left none.

    A workspace is stored when a job that changed files has ended, and goes with the job's events.
    """

    kind = Kind.NOT_FOUND
    code = "job-workspace-missing"
    title = "The job has no such workspace"


class JobTargetForbidden(Problem):
    """The execution target does not take jobs of this tenant.

    An operator can list the tenant in the target's `connection_config.tenants`; the target `local` takes everybody's jobs.
    """

    kind = Kind.FORBIDDEN
    code = "job-target-forbidden"
    title = "The target is not open to this tenant"
