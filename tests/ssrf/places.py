"""Every place that takes a URL of somebody's, as it is used: whoever adds one adds a row to `PLACES`.

Teams, schedules and supervised runs take the attachments of a chat, by the same function.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
from cryptography.fernet import Fernet
from pydantic import ValidationError
from tests.kit.conftest import INTERNAL, PUBLIC, Listener, Net, certificate_for, on_one_port, opened_net
from tests.knowledge.knowledge_scene import OPERATOR, Scene
from tests.tools.openapi.api import pets_at, referring

from pointsman.agents.resolve import ResolvedAgent, RunConfig
from pointsman.chat import planning
from pointsman.chat.schemas import Attachment, ChatRequest
from pointsman.credentials.using import RunUser
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Channels, Egress
from pointsman.kit.problems import Problem
from pointsman.knowledge.parsing import Parser
from pointsman.knowledge.schemas import UriUploadBody
from pointsman.knowledge.sources import Sources
from pointsman.llm.models import Models
from pointsman.llm.port import ToolCall
from pointsman.settings import Settings
from pointsman.tools.fetching import Web
from pointsman.tools.mcp.calling import Calls
from pointsman.tools.mcp.connection import Connection as Session
from pointsman.tools.mcp.http import Remote
from pointsman.tools.mcp.pool import Pool
from pointsman.tools.mcp.rows import Server
from pointsman.tools.mcp.schemas import McpServerCreate
from pointsman.tools.mcp.servers import Servers
from pointsman.tools.mcp.service import McpServerService
from pointsman.tools.openapi.schemas import OpenApiToolsCreate
from pointsman.tools.openapi.service import OpenApiToolsService
from pointsman.tools.openapi.toolbox import OpenApiSource
from pointsman.tools.references import References
from pointsman.turns.ports import ToolOutcome
from pointsman.webhooks.schemas import WebhookCreate
from pointsman.webhooks.sending import Sender
from pointsman.webhooks.service import WebhookService

Said = Problem | ToolOutcome | ValidationError | msgspec.ValidationError
"""Why nothing came of it: a problem, what a model is told, or that no body of a request may hold this."""

_AGENT = ResolvedAgent("agent", "Agent", RunConfig("scripted:echo"), "prompt", 1, "You help.")
_USER = RunUser("acme", "ann", "run")


@dataclass
class World:
    """What the places need, with one way out of them all. `inside` are listeners beside those of the net, `secure` the internet by TLS."""

    net: Net
    secure: Listener
    inside: list[Listener]
    db: Database
    settings: Settings
    egress: Egress
    models: Models
    knowledge: Scene
    webhooks: WebhookService
    tools: OpenApiToolsService
    source: OpenApiSource
    servers: McpServerService
    web: Web
    numbers: count[int]

    @property
    def reached(self) -> int:
        """How often somebody came to what is internal."""
        return self.net.reached + sum(listener.connections for listener in self.inside)

    def lead(self, location: str) -> None:
        """Where `/go` leads, and whatever is below it."""
        for path in ("/go", "/go/pets"):
            self.net.redirect(path, location)
            self.secure.answers[path] = self.net.public.answers[path]


@dataclass(frozen=True)
class Place:
    """A place: `use` gives it a URL and has it act on it. `https` where it takes no other scheme.

    `session`: what is looked at is a server with which a session could not be begun, which is a failure of the server's.
    """

    use: Callable[[World, str], Awaitable[object]]
    https: bool = False
    session: bool = False

    def at(self, world: World, host: str, path: str = "/") -> str:
        """A URL at a host of the internet."""
        return f"https://{host}:{world.secure.port}{path}" if self.https else f"http://{host}:{world.net.port}{path}"

    async def give(self, world: World, url: str) -> Said | None:
        """Why nothing came of it; None where something did."""
        if self.https and url.startswith("http:"):
            url = f"https:{url[5:]}"
        try:
            said = await self.use(world, url)
        except (Problem, ValidationError, msgspec.ValidationError) as error:
            return error
        return said if isinstance(said, ToolOutcome) and said.is_error else None


async def attach(world: World, url: str) -> object:
    raw = {"message": "Look.", "attachments": [{"media_type": "text/plain", "url": url}]}
    request = msgspec.convert(raw, ChatRequest)
    assert isinstance(request.attachments[0], Attachment)
    return await planning.prepare(request, _AGENT, world.models, world.egress)


async def upload(world: World, url: str) -> object:
    return await world.knowledge.service.fetch(UriUploadBody(uri=url), None)


async def tell_webhook(world: World, url: str) -> object:
    owner = replace(OPERATOR, tenant=f"t{next(world.numbers)}")
    endpoint = await world.webhooks.create_endpoint(owner, WebhookCreate.model_validate({"url": url}))
    tested = await world.webhooks.test_endpoint(owner, endpoint.id)
    return ToolOutcome(tested.error or tested.answer, is_error=not tested.delivered)


async def call_api(world: World, url: str) -> object:
    """At a server that the operator was talked into."""
    return await _call(world, "listPets", {}, server_url=url)


async def call_api_of_document(world: World, url: str) -> object:
    """At a server that the document names."""
    return await _call(world, "listPets", {}, document=pets_at(url))


async def ask_api_for(world: World, url: str) -> object:
    """At a server of the internet, for a pet that has such a name."""
    outcome = await _call(world, "getPet", {"petId": url, "X-Trace": url}, server_url=f"http://public.test:{world.net.port}")
    assert isinstance(outcome, ToolOutcome)
    return outcome._replace(is_error=True)  # of what it asks there nothing is to be refused: it only may not get elsewhere


async def look_at_mcp_server(world: World, url: str) -> object:
    server_id = f"mcp{next(world.numbers)}"
    timeouts = {"connect_seconds": 2, "call_seconds": 2}
    await world.servers.create_server(OPERATOR, McpServerCreate.model_validate({"id": server_id, "url": url, "timeouts": timeouts}))
    return await world.servers.inspect_server(OPERATOR, server_id, None)


async def fetch_page(world: World, url: str) -> object:
    return await world.web.fetch(url)


PLACES: dict[str, Place] = {
    "attachment of a chat": Place(attach),
    "knowledge by uri": Place(upload, https=True),
    "webhook": Place(tell_webhook),
    "server of OpenAPI tools": Place(call_api),
    "server in an OpenAPI document": Place(call_api_of_document),
    "argument of an OpenAPI tool": Place(ask_api_for),
    "MCP server": Place(look_at_mcp_server, session=True),
    "http_fetch": Place(fetch_page),
}


async def _call(world: World, operation: str, args: dict[str, Any], **changes: Any) -> object:
    tools_id = f"api{next(world.numbers)}"
    body = {"id": tools_id, "name": tools_id, "document": pets_at("https://unused.test"), "operations": [operation], "timeout_seconds": 5}
    await world.tools.create_tools(OPERATOR, OpenApiToolsCreate.model_validate(body | changes))
    toolbox = await world.source.open([{"type": "openapi", "name": tools_id}], _USER)
    return await toolbox.call(ToolCall("call_1", toolbox.specs[0].name, json.dumps(args)))


@asynccontextmanager
async def opened_world(db: Database, owner: Connection, settings: Settings) -> AsyncGenerator[World]:
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(opened_net())
        server, client = certificate_for("public.test", settings.data_dir.parent)
        listening, (secure, *inside) = await on_one_port((PUBLIC, INTERNAL, "::1"), server)
        stack.push_async_exit(listening)
        egress = await stack.enter_async_context(net.egress(connect_timeout=timedelta(seconds=2), ssl_context=client))
        references: References = await stack.enter_async_context(referring(db))
        models, parser = Models(settings), Parser(settings.data_dir / "pages")
        stack.push_async_callback(models.aclose)
        stack.push_async_callback(parser.aclose)
        keyring = KeyRing([Fernet.generate_key().decode()])
        yield World(
            net=net,
            secure=secure,
            inside=inside,
            db=db,
            settings=settings,
            egress=egress,
            models=models,
            knowledge=replace(Scene.of(db, owner, settings), sources=Sources(settings, egress)),
            webhooks=WebhookService(db, keyring, egress, Sender(egress, keyring, timedelta(seconds=5)).send),
            tools=OpenApiToolsService(db, egress, references),
            source=OpenApiSource(db, egress, references),
            servers=await _servers(stack, db, settings, net, egress, references),
            web=Web(egress, parser),
            numbers=count(),
        )


async def _servers(
    stack: AsyncExitStack, db: Database, settings: Settings, net: Net, egress: Egress, references: References
) -> McpServerService:
    channels = Channels([PUBLIC], resolver=net.names)

    def begin(server: Server, headers: Mapping[str, str]) -> Session:
        carrier = Remote(channels, server, headers, settings.mcp.answer_bytes)
        return Session(server.id, carrier, settings.mcp, within=server.connect_seconds)

    pool, servers = Pool(begin, settings.mcp), Servers({})
    stack.push_async_callback(channels.aclose)
    stack.push_async_callback(pool.aclose)
    return McpServerService(db, servers, Calls(db, pool, references, settings.mcp), references, egress)
