"""What one attempt may do: the intersection of what operator, agent and job say, as engines and runners need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pointsman.execution.grants import Danger, SecretRef

COMMAND = "command"
_OFF: dict[Danger, tuple[str, ...]] = {
    "dependency_install": (
        *("pip install *", "pip3 install *", "python* -m pip install *", "uv pip install *", "uv add *", "poetry add *", "npm install*"),
        *("npm i *", "npm ci*", "yarn add *", "pnpm add *", "pnpm install*", "apt install *", "apt-get install *", "cargo install *"),
        *("gem install *", "go install *", "brew install *", "apk add *", "dnf install *"),
    ),
    "git_push": ("git push*", "git * push*"),
    "merge": ("git merge*", "git * merge *", "gh pr merge*", "glab mr merge*"),
    "delete_files": ("rm *", "rmdir *", "unlink *", "git rm *", "git clean*", "find * -delete*", "shred *"),
    "migrations": (
        "alembic upgrade*",
        "alembic downgrade*",
        "*manage.py migrate*",
        "flyway migrate*",
        "prisma migrate*",
        "rails db:migrate*",
    ),
    "apply_or_deploy": (
        *("terraform apply*", "terraform destroy*", "tofu apply*", "kubectl apply*", "kubectl delete*", "helm install*", "helm upgrade*"),
        *("pulumi up*", "ansible-playbook *", "serverless deploy*", "vercel *", "fly deploy*"),
    ),
    "production_change": ("* --prod", "* --prod *", "* --production*", "* --env=prod*", "* --environment=prod*", "* -e prod*"),
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one attempt may do. Memory in MB (2^20 bytes); of several lists of patterns each must have a match.

    `env` names secrets, it holds none.
    """

    memory_mb: int
    cpus: float
    runtime_minutes: float
    network: bool = False
    mounts: tuple[tuple[str, str, bool], ...] = ()
    env: Mapping[str, str | SecretRef] = field(default_factory=dict[str, str | SecretRef])
    dangers: frozenset[Danger] = frozenset()
    tools: tuple[tuple[str, ...], ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    deny: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()

    def why_not(self, tool: str, argument: str) -> str:
        """Why a tool may not be called with this argument, as a part of a sentence; empty where it may.

        Commands that a danger stands for are none of it: they bind who chooses commands, see `why_dangerous`.
        """
        if not all(any(matches(pattern, tool, argument) for pattern in patterns) for patterns in self.tools):
            return f"the tool {tool} is not among the allowed tools"
        if tool == COMMAND and not all(any(fnmatchcase(argument, glob) for glob in globs) for globs in self.commands):
            return "the command is not among the allowed commands"
        return ""

    def why_dangerous(self, line: str) -> str:
        """Which permission a command line lacks, for a model that chooses its own commands; empty where it lacks none.

        A rail against mistakes: what really keeps work apart is the sandbox.
        """
        for danger, globs in _OFF.items():
            if danger not in self.dangers and any(fnmatchcase(line, glob) for glob in globs):
                return f"allow_{danger} is off"
        return ""


def matches(pattern: str, tool: str, argument: str) -> bool:
    """Whether `tool`, `tool(glob)` or `*` means this call."""
    name, parenthesis, rest = pattern.partition("(")
    if not parenthesis or not rest.endswith(")"):
        return fnmatchcase(tool, pattern)
    return fnmatchcase(tool, name) and fnmatchcase(argument, rest[:-1])
