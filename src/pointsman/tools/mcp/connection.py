"""One session with a server, held open by a task of its own: the library's sessions must end in the task that they began in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import structlog
from pydantic import TypeAdapter

from pointsman import __version__
from pointsman.kit.scrubbing import scrub_text
from pointsman.settings import McpSettings
from pointsman.tools.mcp.errors import McpServerFailed, McpServerTimeout
from pointsman.tools.mcp.listing import read_listing
from pointsman.tools.mcp.rows import Tools
from pointsman.tools.mcp.wire import FAILED, SESSION_LOST, Carrier

if TYPE_CHECKING:
    import mcp_types
    from mcp import Client

_LONGEST_SAID = 500  # characters of an error
_PAGES = 50
_LONGEST_LIFE = 3600.0  # seconds; then a new session is opened, and with it what is offered is looked at again
_PATIENCE = 2.0  # seconds in which a session that ends is gone

log = structlog.get_logger()


class SessionLost(McpServerFailed):
    """The server does not know the session any more, so that what was asked was not done."""


class Connection:
    """Opens its session as soon as it is made. `is_over` once nothing more should be asked of it."""

    def __init__(self, name: str, carrier: Carrier, settings: McpSettings, *, within: float) -> None:
        """Make one of the server `name`; the session has to be open `within` seconds."""
        self.name = name
        self.users = 0
        self.used_at = time.monotonic()
        self._carrier = carrier
        self._settings = settings
        self._within = within
        self._slots = asyncio.Semaphore(settings.concurrent_calls)
        self._closing = asyncio.Event()
        self._ends_at = time.monotonic() + _LONGEST_LIFE
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._listed: asyncio.Task[Tools] | None = None
        self._is_over = False
        self._task = asyncio.create_task(self._hold(), name=f"mcp {name}")
        self._task.add_done_callback(self._ended)

    @property
    def is_over(self) -> bool:
        """Whether it broke, was given up or is too old."""
        return self._is_over or self._carrier.ended or self._task.done() or time.monotonic() > self._ends_at

    def give_up(self) -> None:
        """Ask nothing more of it: it is closed once nobody uses it."""
        self._is_over = True

    async def tools(self) -> Tools:
        """What the server offers: asked once, and again where it said that it has changed. Raises the Problem of what prevents it."""
        while True:
            if self._listed is None:
                self._listed = asyncio.create_task(self._list())
                self._listed.add_done_callback(_seen)
            listed = self._listed
            try:
                tools = await asyncio.shield(listed)
            finally:
                if self._listed is listed and listed.done() and (listed.cancelled() or listed.exception() is not None):
                    self._listed = None
            if self._listed is listed:  # else it was said to have changed meanwhile
                return tools

    async def call(self, tool: str, arguments: dict[str, Any]) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        """Call a tool; cancelled, it tells the server. Raises SessionLost where nothing was done, and McpServerFailed."""
        client = await self._client()
        import mcp_types  # noqa: PLC0415 - loaded with the session, see `_load`

        # Not by the session's `call_tool`: it checks results against a schema of the server's, by a validator that a schema can stall.
        request = mcp_types.CallToolRequest(params=mcp_types.CallToolRequestParams(name=tool, arguments=arguments))
        async with self._slots:
            return await self._unless_it_ends(client.session.send_request(request, _answers()))

    async def aclose(self) -> None:
        """End the session, and the program behind it; what is being called ends with it."""
        self._is_over = True
        self._closing.set()
        done, _ = await asyncio.wait({self._task}, timeout=_PATIENCE)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_PATIENCE)

    async def _hold(self) -> None:
        await asyncio.to_thread(_load)
        import mcp_types  # noqa: PLC0415 - as above
        from mcp import Client  # noqa: PLC0415 - as above

        me = mcp_types.Implementation(name="pointsman", version=__version__)
        client = Client(self._carrier.streams(), cache=None, client_info=me, message_handler=self._hear)
        async with client:
            self._opened.set_result(client)
            async with self._listening(client):
                await self._closing.wait()

    async def _client(self) -> Client:
        """The open session. Raises McpServerTimeout, McpServerFailed."""
        done, _ = await asyncio.wait({self._opened, self._task}, timeout=self._within, return_when=asyncio.FIRST_COMPLETED)
        if self._opened in done:
            return self._opened.result()
        self.give_up()
        if not done:
            self._closing.set()
            self._task.cancel()
            detail = f"The MCP server {self.name} did not begin a session within {self._within:g} s."
            raise McpServerTimeout(detail, hint=scrub_text(self._carrier.complaints()))
        raise self._why()

    async def _unless_it_ends(self, asking: Coroutine[Any, Any, Any]) -> Any:
        """The answer to what is asked. Raises SessionLost, McpServerFailed."""
        asked = asyncio.create_task(asking)
        try:
            await asyncio.wait({asked, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not asked.done():
                asked.cancel()
                await asyncio.wait({asked})
        error = None if asked.cancelled() else asked.exception()
        if asked.cancelled() or self._task.done():
            raise self._why()
        if error is not None:
            raise self._failure(error)
        return asked.result()

    def _failure(self, error: BaseException) -> McpServerFailed:
        from mcp import MCPError  # noqa: PLC0415 - as above
        from mcp_types import CONNECTION_CLOSED  # noqa: PLC0415 - as above

        if not isinstance(error, MCPError):
            return McpServerFailed(f"The MCP server {self.name} did not answer as the protocol has it ({type(error).__name__}).")
        if error.code == SESSION_LOST:
            self.give_up()
            return SessionLost(f"The MCP server {self.name} does not know the session any more.")
        if error.code == FAILED:
            return McpServerFailed(f"The MCP server {self.name} could not be asked: {error.message}")
        if error.code == CONNECTION_CLOSED:
            self.give_up()
            return McpServerFailed(
                f"The MCP server {self.name} ended the session ({error.message[:_LONGEST_SAID]}). "
                "What it was asked may or may not have been done.",
                hint=scrub_text(self._carrier.complaints()),
            )
        return McpServerFailed(f"The MCP server {self.name} answered with an error: {error.message[:_LONGEST_SAID]}")

    async def _list(self) -> Tools:
        client = await self._client()
        import mcp_types  # noqa: PLC0415 - as above

        offered: list[mcp_types.Tool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            params = mcp_types.PaginatedRequestParams(cursor=cursor)
            page: mcp_types.ListToolsResult = await self._unless_it_ends(client.session.list_tools(params=params))
            offered += page.tools
            cursor = page.next_cursor
            if cursor is None or len(offered) > self._settings.tools:
                break
        return read_listing(offered, most=self._settings.tools, most_bytes=self._settings.schema_bytes)

    @asynccontextmanager
    async def _listening(self, client: Client) -> AsyncGenerator[None]:
        """Where the server has to be asked to tell of changes, ask; older ones tell by themselves."""
        from mcp_types.version import MODERN_PROTOCOL_VERSIONS  # noqa: PLC0415 - as above

        offers = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (offers and offers.list_changed):
            yield
            return
        listener = asyncio.create_task(self._listen(client))
        listener.add_done_callback(self._deaf)
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.wait({listener})

    async def _listen(self, client: Client) -> None:
        async with client.listen(tools_list_changed=True) as events:
            async for _ in events:
                self._listed = None

    def _deaf(self, listener: asyncio.Task[None]) -> None:
        """Nothing is heard of changes any more, so what was seen is no longer good; a new session looks again."""
        if not listener.cancelled():
            log.info("mcp.not_told_any_more", server=self.name, error=str(listener.exception() or "the server ended it"))
        self.give_up()

    async def _hear(self, message: object) -> None:
        import mcp_types  # noqa: PLC0415 - as above

        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._listed = None

    def _why(self) -> McpServerFailed:
        error = None if not self._task.done() or self._task.cancelled() else self._task.exception()
        said = _said(error).rstrip(".")
        detail = f"The MCP server {self.name} ended the session{': ' if said else ''}{said}."
        return McpServerFailed(detail, hint=scrub_text(self._carrier.complaints()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._is_over = True
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("mcp.session_broke", server=self.name, error=_said(error), complaints=self._carrier.complaints())


def _load() -> None:
    """Load the library of the protocol, and what is made of it: seconds that neither a start nor other requests should wait for."""
    for module in ("mcp", "pointsman.tools.mcp.transport_http", "pointsman.tools.mcp.transport_stdio"):
        import_module(module)


@cache
def _answers() -> Any:
    import mcp_types  # noqa: PLC0415 - as above

    return TypeAdapter(mcp_types.CallToolResult | mcp_types.InputRequiredResult)


def _seen(task: asyncio.Task[Tools]) -> None:
    if not task.cancelled():
        task.exception()


def _said(error: BaseException | None) -> str:
    """The first thing that went wrong, of several that went wrong with it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return str(error)[:_LONGEST_SAID] if error else ""
