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


class EngineFailed(Problem):
    """The remote side of an execution engine could not be reached, or says that it is out of order.

    The job is tried again. When it happens several times in a row, the engine is left alone for a while: `GET /v2/breakers` shows it.
    """

    kind = Kind.UPSTREAM
    code = "engine-failed"
    title = "The execution engine failed"


class SandboxRefused(Problem):
    """What the job asks for cannot be had on this target: more memory, network or mounts than it grants, or no isolation at all.

    The detail names it. Change the job, or have an operator change the target.
    """

    kind = Kind.CONFLICT
    code = "sandbox-refused"
    title = "The target does not allow this"


class EngineNotFound(Problem):
    """No active engine has this id. A deleted engine counts as absent.

    `GET /v2/engines` lists the active ones. Creating an engine with the id of a deleted one brings it back, as it is then described.
    """

    kind = Kind.NOT_FOUND
    code = "engine-not-found"
    title = "There is no such engine"


class EngineExists(Problem):
    """An active engine already has this id. Names may repeat, ids may not.

    Choose another id, leave it out to get a generated one, or change the existing engine with `PATCH /v2/engines/{id}`.
    """

    kind = Kind.CONFLICT
    code = "engine-exists"
    title = "An engine with this id exists"


class TargetNotFound(Problem):
    """No active target has this id. A deleted target counts as absent.

    `GET /v2/targets` lists the active ones. Creating a target with the id of a deleted one brings it back, as it is then described.
    """

    kind = Kind.NOT_FOUND
    code = "target-not-found"
    title = "There is no such target"


class TargetExists(Problem):
    """An active target already has this id. Names may repeat, ids may not.

    Choose another id, leave it out to get a generated one, or change the existing target with `PATCH /v2/targets/{id}`.
    """

    kind = Kind.CONFLICT
    code = "target-exists"
    title = "A target with this id exists"


class OperatorOnly(Problem):
    """Engines, targets and OpenAPI tools are the operator's: all tenants' work goes there, so a key of a tenant cannot change them.

    Ask the operator of this gateway.
    """

    kind = Kind.FORBIDDEN
    code = "operator-only"
    title = "Only the operator changes this"


class EngineNotInstalled(Problem):
    """The engine is a Python entry point that is not installed where the worker runs.

    Install the package that has it on every machine with workers, and start them again; the detail names the entry point.
    """

    kind = Kind.INVALID
    code = "engine-not-installed"
    title = "The engine is not installed"
