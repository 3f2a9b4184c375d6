"""The route of tools."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from pointsman.llm.port import ToolSpec
from pointsman.tools.builtin import CURRENT_TIME_SPEC, KNOWLEDGE_SPEC, MEMORY_SPEC
from pointsman.turns.loop import THINK_SPEC
from pointsman.web.deps import Caller
from pointsman.web.paging import Page
from pointsman.web.wire import Read

router = APIRouter(tags=["tools"])


class ToolRead(Read):
    """A tool that an agent or a prompt may list; `parameters` is the JSON schema of its arguments."""

    type: Literal["builtin"]
    name: str
    description: str
    parameters: dict[str, Any]


@router.get("/v2/tools")
async def list_tools(caller: Caller) -> Page[ToolRead]:
    """List the built-in tools."""
    del caller
    return Page(items=[_read(spec) for spec in (CURRENT_TIME_SPEC, KNOWLEDGE_SPEC, MEMORY_SPEC, THINK_SPEC)], next_cursor=None)


def _read(spec: ToolSpec) -> ToolRead:
    return ToolRead(type="builtin", name=spec.name, description=spec.description, parameters=spec.parameters)
