"""What work left behind, as every engine tells it: which files changed, how, and how much memory it took."""

from __future__ import annotations

import asyncio
from typing import Any

from pointsman.execution.engines.workspace import Tree, changed, look, unified_diff
from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Sandbox


async def left_behind(sandbox: Sandbox, begun: Tree) -> dict[str, Any]:
    """For the result. That the work is done stays true where the workspace cannot be carried away; then no file of it is."""
    left: dict[str, Any] = {"files_changed": [], "diff": "", "peak_memory_mb": None}
    try:
        after = await look(sandbox)
        left["files_changed"] = changed(begun, after)
        left["diff"] = await asyncio.to_thread(unified_diff, begun, after)
        left["peak_memory_mb"] = await sandbox.peak_memory_mb()
    except TargetFailed as problem:
        left["files_unknown"] = problem.detail
    return left
