"""Where work runs, and how it is done: the ports of runners and engines, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pointsman.execution.allowance import Allowance
from pointsman.execution.rows import ExecutionTarget
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.outputs import Stream
from pointsman.jobs.worker_config import WorkerConfig

OnOutput = Callable[[Stream, bytes], None]


# --- where


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe saw; `isolation` names what keeps work apart here (`bubblewrap`, `namespaces`, `container`, `none` …)."""

    status: Literal["healthy", "unhealthy"]
    latency_ms: float
    detail: str
    isolation: str | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the target's that work may see; only a target's own config grants one."""

    source: str
    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What is to be opened. `handle` is `pm-<job>-<epoch>`: whatever is left of a dead attempt is found by it.

    Memory and disk in MB (2^20 bytes). `env` is the whole environment of what runs inside.
    """

    handle: str
    memory_mb: int
    cpus: float
    pids: int = 256
    disk_mb: int = 1024
    network: bool = False
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Proof that a memory limit ended something: what said so (`cgroup.oom_kill`, `docker.OOMKilled` …) and what it said."""

    source: str
    detail: str


@dataclass(frozen=True, slots=True)
class Exited:
    """How a command ended: by itself with `exit_code`, or by `signal` (`SIGKILL`); `oom` only with proof."""

    exit_code: int | None
    signal: str | None
    duration_ms: int
    oom: OutOfMemory | None = None


class Sandbox(Protocol):
    """One isolated place of one attempt, with a workspace folder that commands start in.

    Raises TargetFailed where the target itself fails; a command that fails is a value.
    """

    @property
    def handle(self) -> str: ...

    @property
    def container_id(self) -> str | None:
        """What the target calls it, where it has a name of its own for it."""
        ...

    @property
    def host(self) -> str:
        """The machine it is on."""
        ...

    async def upload(self, archive: bytes) -> None:
        """Unpack a tar into the workspace."""
        ...

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        """A tar of these paths of the workspace, at most `most` bytes (else TargetFailed); a path that is not there is left out."""
        ...

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Exited:
        """Run a command to its end, without a shell; what it leaves running ends with it.

        Cancelled, it kills the whole tree of the command within 2 s before it returns.
        """
        ...

    async def peak_memory_mb(self) -> int | None:
        """Most memory used so far, where the target can tell."""
        ...

    async def close(self) -> None:
        """End everything that runs in it and remove it. Repeatable; done within 2 s where the target answers."""
        ...


class Runner(Protocol):
    """One target at work. Every runner passes `tests/conformance/test_runners.py`."""

    async def probe(self) -> Health:
        """Really use the target: start something and look. Never raises for a target that does not work."""
        ...

    async def open(self, spec: SandboxSpec) -> Sandbox:
        """Raises TargetFailed, SandboxRefused."""
        ...

    async def reap(self, handle: str) -> None:
        """Remove whatever is left of a sandbox of this name: processes, containers, folders. Repeatable. Raises TargetFailed."""
        ...

    async def list_handles(self) -> list[str]:
        """Every sandbox that there is here, whoever opened it."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; what runs goes on."""
        ...


# --- how


@dataclass(frozen=True, slots=True)
class Done:
    """The work is done; `result` is what `execution_jobs.result` says."""

    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed by its own doing and is not tried again; `reason` begins `exit`, `signal`, `denied`, `model` or `invalid`."""

    reason: str
    result: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class RanOut:
    """Memory ran out, with proof: the next attempt gets more."""

    evidence: OutOfMemory
    peak_memory_mb: int | None = None
    result: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Asks:
    """A person has to decide first (the rows of the approvals exist). Nothing is held meanwhile.

    `checkpoint` comes back as `Work.checkpoint` in the attempt that goes on; `workspace` is a tar that its sandbox begins with.
    """

    approvals: tuple[str, ...]
    checkpoint: dict[str, Any] = field(default_factory=dict[str, Any])
    workspace: bytes | None = None


Outcome = Done | Failed | RanOut | Asks


@dataclass(frozen=True, slots=True)
class Permit:
    """Whether a tool may be called: `allow` with the arguments to use, which a person may have edited; `deny` with the reason; `ask`."""

    verdict: Literal["allow", "deny", "ask"]
    args: dict[str, Any]
    reason: str = ""
    approval_id: str | None = None


class Work(Protocol):
    """One attempt of a job, as an engine sees it.

    Deadline, cancel and hand-over come as cancellation of the engine's task, whose message says which: `timeout`, `cancelled`,
    `handed_over`, or `gone` where the job is somebody else's by now.
    """

    @property
    def job_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def run_id(self) -> str | None: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def key_id(self) -> int | None: ...
    @property
    def agent_id(self) -> str | None:
        """The worker agent of a supervised job."""
        ...

    @property
    def prompt(self) -> str: ...
    @property
    def spec(self) -> JobSpec: ...
    @property
    def worker(self) -> WorkerConfig:
        """The worker's own config, with what operators deny and want to be asked for (`policy.tightened`)."""
        ...

    @property
    def allowance(self) -> Allowance:
        """What this attempt may do: the intersection that `policy.allow` made."""
        ...

    @property
    def target(self) -> ExecutionTarget:
        """Where it is done."""
        ...

    @property
    def handler_config(self) -> dict[str, Any]:
        """The engine's."""
        ...

    @property
    def provider(self) -> str:
        """The engine's default model provider."""
        ...

    @property
    def checkpoint(self) -> dict[str, Any]: ...

    async def sandbox(self) -> Sandbox:
        """The attempt's sandbox, opened at the first call with the job's workspace in it, closed when the attempt ends."""
        ...

    def output(self, text: str, stream: Stream = "stdout") -> None:
        """Tell the readers; bounded, and stored within a quarter of a second."""
        ...

    async def permit(self, call_id: str, tool: str, argument: str, args: dict[str, Any]) -> Permit:
        """Judge a call by deny, ask, allow, in this order; `ask` makes the approval's row at its first call, and finds it afterwards.

        `argument` is what patterns such as `command(git push *)` are matched with.
        """
        ...


class Engine(Protocol):
    """A way of doing work."""

    async def run(self, work: Work) -> Outcome:
        """Do it. Raises TargetFailed or another Problem for what is not the work's own fault: then another attempt is made."""
        ...
