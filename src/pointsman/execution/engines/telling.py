"""What an agent that is not ours is told of a job, and that no restriction of it is passed over in silence."""

from __future__ import annotations

import json

from pointsman.execution.engines.briefing import system_of
from pointsman.execution.ports import Work


def told_of(work: Work, template: object, *, apart: bool = False) -> dict[str, str]:
    """What placeholders stand for. The job's bounds stand before its prompt, unless `{system}` has a place of its own or goes `apart`."""
    permissions, briefing = work.worker.permissions, system_of(work, "")
    alone = apart or _has(template, "system")
    return {
        "prompt": work.prompt if alone else f"{briefing}\n\n{work.prompt}",
        "system": briefing,
        "job_id": work.job_id,
        "allowed_tools": ",".join(_common(work.allowance.tools)),
        "allowed_commands": ",".join(_common(work.allowance.commands)),
        "denied_tools": ",".join([*permissions.deny, *permissions.ask]),
    }


def not_told(work: Work, template: object) -> str:
    """The first restriction of the job that the template has no placeholder for; empty where there is none."""
    permissions = work.worker.permissions
    # Somebody who is asked about the whole knows what is let loose.
    asked_before = "*" in permissions.ask
    bound = {
        "allowed_tools": bool(work.allowance.tools),
        "allowed_commands": bool(work.allowance.commands),
        "denied_tools": bool(permissions.deny or (permissions.ask and not asked_before)),
    }
    return next((name for name, is_bound in bound.items() if is_bound and not _has(template, name)), "")


def _has(template: object, name: str) -> bool:
    return f"{{{name}}}" in json.dumps(template)


def _common(lists: tuple[tuple[str, ...], ...]) -> list[str]:
    """Patterns that stand in each of the lists: fewer than what each of them has a match for, never more."""
    first, *others = lists or ((),)
    return [pattern for pattern in first if all(pattern in other for other in others)]
