"""How engines and targets fail."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class TargetFailed(Problem):
    """The execution target itself failed: it could not be reached, or did not do what it is there for.

    The job is tried again, on another target where there is one. `GET /v2/targets/{id}/health` shows what is wrong.
    """

    kind = Kind.UPSTREAM
    code = "target-failed"
    title = "The execution target failed"


class SandboxRefused(Problem):
    """What the job asks for cannot be had on this target: more memory, network or mounts than it grants, or no isolation at all.

    The detail names it. Change the job, or have an operator change the target.
    """

    kind = Kind.CONFLICT
    code = "sandbox-refused"
    title = "The target does not allow this"
