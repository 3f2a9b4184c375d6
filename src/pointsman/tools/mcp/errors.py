"""What can go wrong with MCP servers."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class McpServerNotFound(Problem):
    """No active MCP server has this id: neither was one registered with it, nor does the operator's environment describe one.

    `GET /v2/mcp-servers` lists them. Creating a deleted one again brings it back, to be inspected and approved anew.
    """

    kind = Kind.NOT_FOUND
    code = "mcp-server-not-found"
    title = "There is no such MCP server"


class McpServerExists(Problem):
    """An active MCP server already has this id, or the operator's environment describes one with it.

    Choose another id, or change the registered server with `PATCH /v2/mcp-servers/{id}`.
    """

    kind = Kind.CONFLICT
    code = "mcp-server-exists"
    title = "An MCP server with this id exists"


class McpServerFixed(Problem):
    """The server runs a command of the operator's: it is described by `POINTSMAN_MCP__STDIO__<NAME>__…` alone, and no request changes that.

    It can be inspected and approved like every other. To change or remove it, change the environment and start the gateway again.
    """

    kind = Kind.CONFLICT
    code = "mcp-server-fixed"
    title = "The MCP server belongs to the settings"


class McpServerUnknown(Problem):
    """A tool of an agent or a prompt names an MCP server that does not exist or was deleted, or a tool that is not approved there.

    `GET /v2/mcp-servers` lists servers, `GET /v2/tools` what is approved of them; the detail suggests one where a name is close.
    """

    kind = Kind.INVALID
    code = "mcp-server-unknown"
    title = "There is no such MCP server or tool"


class McpServerFailed(Problem):
    """The MCP server could not be started or reached, or did not answer as the protocol has it; the detail says which.

    For a server over HTTP open its URL yourself; a host within your network has to be named in `POINTSMAN_EGRESS__ALLOW`. For one with a
    command the detail has the end of what it wrote to its standard error; it runs without a network, and sees only the folders of
    `POINTSMAN_MCP__STDIO__<NAME>__FOLDERS` besides `/usr`.
    """

    kind = Kind.UPSTREAM
    code = "mcp-server-failed"
    title = "The MCP server does not work"


class McpServerTimeout(Problem):
    """The MCP server did not answer within its time: `timeouts.connect_seconds` to begin with, `timeouts.call_seconds` for each call.

    What a call was to do may or may not have been done.
    """

    kind = Kind.UPSTREAM_TIMEOUT
    code = "mcp-server-timeout"
    title = "The MCP server took too long"


class McpServerBusy(Problem):
    """As many sessions with MCP servers are in use as this gateway holds at once. Try again a little later.

    An operator raises `POINTSMAN_MCP__CONNECTIONS`, or `POINTSMAN_MCP__PROCESSES` for servers with a command.
    """

    kind = Kind.UNAVAILABLE
    code = "mcp-server-busy"
    title = "Too many sessions with MCP servers"


class McpListingRefused(Problem):
    """The server offers more or larger tools than are taken here, or one whose description cannot be used; the detail says which.

    An operator raises `POINTSMAN_MCP__TOOLS` or `POINTSMAN_MCP__SCHEMA_BYTES`, or has the server offer less.
    """

    kind = Kind.UPSTREAM
    code = "mcp-listing-refused"
    title = "The MCP server's tools cannot be taken"


class McpNothingProposed(Problem):
    """There is nothing to approve: the server was not inspected since it was registered, or offers what is approved already.

    `POST /v2/mcp-servers/{id}/inspect` asks the server what it offers.
    """

    kind = Kind.CONFLICT
    code = "mcp-nothing-proposed"
    title = "There is nothing to approve"


class McpProposalMoved(Problem):
    """What the server offers is not what the hash stands for: it has changed since you looked, and nothing was approved.

    Look again with `GET /v2/mcp-servers/{id}`, and send the `sha256` of the proposal that you have read.
    """

    kind = Kind.CONFLICT
    code = "mcp-proposal-moved"
    title = "The server offers something else by now"
