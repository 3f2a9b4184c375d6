"""What is seen of a server is held against what was approved of it; what differs is kept for somebody to look at."""

from __future__ import annotations

from pointsman.audit.service import record
from pointsman.kit.db import Connection
from pointsman.kit.principal import Principal
from pointsman.tools.mcp import queries
from pointsman.tools.mcp.errors import McpNothingProposed, McpProposalMoved
from pointsman.tools.mcp.rows import Pin, Server, Tools, difference, sha256_of


async def see(connection: Connection, principal: Principal | None, server: Server, tools: Tools) -> None:
    """Keep what the server offers as a proposal, unless it is what is approved. Without a principal it was seen amid a call.

    Nothing is written, and nothing logged again, where it was seen before.
    """
    key = server.type, server.id
    pin = await queries.lock_pin(connection, key)
    seen = sha256_of(tools)
    proposal = None if seen == pin.sha256 else tools
    if (None if proposal is None else seen) == pin.proposal_sha256:
        return
    await queries.propose(connection, key, proposal)
    await record(connection, principal, _action(pin, proposal), "mcp_server", server.id, _detail(pin, seen, proposal))


async def approve(connection: Connection, principal: Principal, server: Server, sha256: str) -> None:
    """What was proposed is approved; repeatable. Raises McpNothingProposed, McpProposalMoved."""
    key = server.type, server.id
    pin = await queries.lock_pin(connection, key)
    if pin.proposal is None:
        if pin.sha256 == sha256:
            return
        raise McpNothingProposed(
            f"Nothing of {server.id} waits to be approved.",
            hint=f"POST /v2/mcp-servers/{server.id}/inspect asks the server what it offers.",
        )
    if pin.proposal_sha256 != sha256:
        raise McpProposalMoved(
            f"What {server.id} offers is not what this hash stands for.", hint=f"Read GET /v2/mcp-servers/{server.id} again."
        )
    await queries.approve(connection, key, principal.key_name)
    await record(connection, principal, "mcp_server.approved", "mcp_server", server.id, _detail(pin, sha256, pin.proposal))


def _action(pin: Pin, proposal: Tools | None) -> str:
    if proposal is None:
        return "mcp_server.as_approved_again"
    return "mcp_server.inspected" if pin.tools is None else "mcp_server.changed"


def _detail(pin: Pin, sha256: str, proposal: Tools | None) -> dict[str, object]:
    differs = difference(pin.tools or (), proposal or pin.tools or ())
    return {"sha256": sha256, "approved": pin.sha256, **differs._asdict()}
