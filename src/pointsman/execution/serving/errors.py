"""How the runner API refuses."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class RunnerNotServed(Problem):
    """This gateway serves no sandboxes of that target to others.

    The operator names the targets in `POINTSMAN_RUNNER__TARGETS`; without it none is served.
    """

    kind = Kind.NOT_FOUND
    code = "runner-not-served"
    title = "The runner API is not served for this target"


class SandboxNotFound(Problem):
    """This process holds no sandbox of that name for this key: it was closed, its caller was silent too long, or another process has it.

    The caller's job is tried again. Where several gateways serve the runner API, each of their targets has to name one of them.
    """

    kind = Kind.NOT_FOUND
    code = "sandbox-not-found"
    title = "There is no such sandbox"
