"""Routes of agents; their chat is the chat slice's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.agents.schemas import AgentCreate, AgentPatch, AgentRead
from pointsman.agents.service import AgentService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

Agents = Annotated[AgentService, Depends(provided(AgentService))]
Tags = Annotated[
    tuple[str, ...], Query(alias="tag", max_length=20, description="Only with this tag; given several times, with all of them.")
]
Search = Annotated[str | None, Query(max_length=255, description="Text in the id, name or description, in any case.")]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]

router = APIRouter(tags=["agents"])


@router.post("/v2/agents", status_code=201, response_model=AgentRead, responses={201: {"headers": LOCATION}})
async def create_agent(body: AgentCreate, agents: Agents, caller: Caller, response: Response) -> object:
    """Make an agent on an existing prompt, or on one of its own from a template; a deleted one comes back as now described."""
    bound = await agents.create_agent(caller, body)
    response.headers["Location"] = f"/v2/agents/{bound.agent.id}"
    return AgentRead.of(bound)


@router.get("/v2/agents", response_model=Page[AgentRead])
async def list_agents(
    agents: Agents, tags: Tags = (), q: Search = None, include_inactive: IncludeInactive = False, limit: Limit = 50, cursor: Cursor = None
) -> object:
    """List agents by id."""
    return await agents.list_agents(tags=tags, q=q, include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/agents/{agent_id}", response_model=AgentRead)
async def get_agent(agent_id: str, agents: Agents) -> object:
    """Read an agent with its whole config."""
    return AgentRead.of(await agents.require_agent(agent_id))


@router.patch("/v2/agents/{agent_id}", response_model=AgentRead)
async def update_agent(agent_id: str, body: AgentPatch, agents: Agents, caller: Caller) -> object:
    """Change an agent; the merge patch reaches into `config`."""
    return AgentRead.of(await agents.update_agent(caller, agent_id, body))


@router.delete("/v2/agents/{agent_id}", status_code=204)
async def delete_agent(agent_id: str, agents: Agents, caller: Caller) -> None:
    """Delete an agent, and the prompt that was made with it unless another agent uses it."""
    await agents.delete_agent(caller, agent_id)
