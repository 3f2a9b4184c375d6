"""What the model of a code agent is told: its task, its bounds and when it is done."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.execution.ports import Work

_BEGIN = """You work on the files of a workspace, with the tools you are given. Look before you change something, change as little
as the task needs, and check what you did, for instance by running the tests. When you are done, answer with a short summary of what
you changed and what you found; your answer without a tool call ends the work. What is refused stays refused:
do not look for a way around it."""


def system_of(work: Work, instructions: str) -> str:
    """The system prompt."""
    spec = work.spec
    parts = [
        _BEGIN,
        instructions,
        _told("Objective", spec.objective),
        _told("Environment", spec.environment),
        _told("Repository", spec.repository),
        _listed("Work only in these directories", spec.allowed_directories),
        _listed("Leave these directories alone", spec.forbidden_directories),
        _listed("Do not", [*spec.forbidden_actions, *_off(work)]),
        _listed("It is done when", spec.acceptance_criteria),
        _listed("Verify it so", spec.verification_steps),
        _listed("To undo it", spec.rollback_steps),
        _listed("Stop and say so when", spec.stop_conditions),
        _told("Your answer", spec.output_contract),
        "Observe only: change nothing." if spec.operation_mode == "observe_only" else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _off(work: Work) -> list[str]:
    """Permissions that are off, in words."""
    words = {
        "dependency_install": "install dependencies",
        "git_push": "push to a git remote",
        "merge": "merge branches",
        "delete_files": "delete files that were there before",
        "migrations": "run database migrations",
        "apply_or_deploy": "apply or deploy anything",
        "production_change": "change anything in production",
    }
    return [sentence for danger, sentence in words.items() if danger not in work.allowance.dangers]


def _told(title: str, text: str) -> str:
    return f"{title}: {text.strip()}" if text.strip() else ""


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {line}" for line in lines)]) if lines else ""
