"""The route of tools."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from pointsman.llm.port import ToolSpec
from pointsman.tools.builtin import CURRENT_TIME_SPEC, KNOWLEDGE_SPEC, MEMORY_SPEC
from pointsman.tools.fetching import FETCH_SPEC
from pointsman.tools.sources import Sources, SourceTool
from pointsman.turns.loop import THINK_SPEC
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Page
from pointsman.web.wire import Read

router = APIRouter(tags=["tools"])


Known = Annotated[Sources, Depends(provided(Sources))]


class ToolRead(Read):
    """A tool that an agent or a prompt may list; `parameters` is the JSON schema of its arguments."""

    type: str = Field(description="`builtin`, or the type of what it comes from.")
    name: str = Field(description="What models and permissions call it; a built-in tool is listed by it.")
    source: str | None = Field(default=None, description="Id of what it comes from, by which it is listed.")
    tool: str | None = Field(default=None, description="What it is called there.")
    description: str
    parameters: dict[str, Any]


@router.get("/v2/tools")
async def list_tools(caller: Caller, sources: Known) -> Page[ToolRead]:
    """List the built-in tools, and what is approved of others."""
    del caller
    builtin = [_read("builtin", spec) for spec in (CURRENT_TIME_SPEC, FETCH_SPEC, KNOWLEDGE_SPEC, MEMORY_SPEC, THINK_SPEC)]
    return Page(items=[*builtin, *(_foreign(tool) for tool in await sources.list_tools())], next_cursor=None)


def _read(kind: str, spec: ToolSpec) -> ToolRead:
    return ToolRead(type=kind, name=spec.name, description=spec.description, parameters=spec.parameters)


def _foreign(tool: SourceTool) -> ToolRead:
    return _read(tool.type, tool.spec).model_copy(update={"source": tool.source, "tool": tool.tool})
