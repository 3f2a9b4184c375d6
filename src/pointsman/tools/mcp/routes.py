"""Routes of MCP servers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.tools.mcp.schemas import McpApprove, McpInspect, McpServerCreate, McpServerDetail, McpServerPatch, McpServerRead
from pointsman.tools.mcp.service import McpServerService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["mcp"])

Servers = Annotated[McpServerService, Depends(provided(McpServerService))]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]


@router.post("/v2/mcp-servers", status_code=201, responses={201: {"headers": LOCATION}})
async def create_mcp_server(body: McpServerCreate, servers: Servers, caller: Caller, response: Response) -> McpServerDetail:
    """Register an MCP server over HTTP; it is not connected to, and none of its tools is offered before they are approved."""
    made = McpServerDetail.of(await servers.create_server(caller, body))
    response.headers["Location"] = f"/v2/mcp-servers/{made.id}"
    return made


@router.get("/v2/mcp-servers")
async def list_mcp_servers(
    servers: Servers, include_inactive: IncludeInactive = False, limit: Limit = 50, cursor: Cursor = None
) -> Page[McpServerRead]:
    """List MCP servers by id, those with a command that the operator's settings describe among them."""
    return await servers.list_servers(include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/mcp-servers/{server_id}")
async def read_mcp_server(server_id: str, servers: Servers) -> McpServerDetail:
    """Read an MCP server: its approved tools, and what it was last seen to offer where that differs."""
    return McpServerDetail.of(await servers.require_server(server_id))


@router.patch("/v2/mcp-servers/{server_id}")
async def update_mcp_server(server_id: str, body: McpServerPatch, servers: Servers, caller: Caller) -> McpServerDetail:
    """Change a registered MCP server."""
    return McpServerDetail.of(await servers.update_server(caller, server_id, body))


@router.delete("/v2/mcp-servers/{server_id}", status_code=204)
async def delete_mcp_server(server_id: str, servers: Servers, caller: Caller) -> None:
    """Delete a registered MCP server; agents that still list it hear that at each call."""
    await servers.delete_server(caller, server_id)


@router.post("/v2/mcp-servers/{server_id}/inspect")
async def inspect_mcp_server(server_id: str, body: McpInspect, servers: Servers, caller: Caller) -> McpServerDetail:
    """Connect to an MCP server, or start it, and ask what it offers; what is not approved is kept as a proposal."""
    return McpServerDetail.of(await servers.inspect_server(caller, server_id, body.user_id))


@router.post("/v2/mcp-servers/{server_id}/approve")
async def approve_mcp_server(server_id: str, body: McpApprove, servers: Servers, caller: Caller) -> McpServerDetail:
    """Approve what an MCP server was seen to offer, as it was: agents that list the server are offered it from now on."""
    return McpServerDetail.of(await servers.approve_server(caller, server_id, body.sha256))
