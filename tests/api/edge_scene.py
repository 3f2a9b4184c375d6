"""A gateway with a small slice of routes on a real database, in this process or in one of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import httpx
import msgspec
from cryptography.fernet import Fernet
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

import pointsman
from pointsman.access.authenticate import Authenticator
from pointsman.access.keys import digest, new_key
from pointsman.access.limits import HourlyLimit
from pointsman.api.app import create_app
from pointsman.api.door import Door
from pointsman.api.policies import ANY_KEY, POLICIES, PUBLIC, Policy, scope
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import InvalidRequest, Unavailable
from pointsman.kit.telemetry import Metrics
from pointsman.prompts.routes import router as prompts_router
from pointsman.prompts.service import PromptService
from pointsman.settings import Settings
from pointsman.web.deps import Caller, provided, service
from pointsman.web.idempotency import attempt_of
from pointsman.web.openapi import Answer, DescribedRoute, Operation
from pointsman.web.streams import EventStream, Flag, frame, resume_after
from pointsman.web.wire import Body

ALL_SCOPES = ["admin"]


class Notes:
    """What the small slice was asked to do."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.runs: list[tuple[str, bool, bool]] = []
        self.hold = asyncio.Event()
        self.hold.set()


class Inner(Body):
    depth: int = 0
    colour: str = "red"


class NoteCreate(Body):
    text: str
    count: int = 0
    inner: Inner | None = None


Desk = Annotated[Notes, Depends(provided(Notes))]
router = APIRouter(tags=["notes"])


@router.post("/v2/notes", status_code=201)
async def create_note(body: NoteCreate, notes: Desk, caller: Caller, response: Response) -> dict[str, Any]:
    """Make a note."""
    await notes.hold.wait()
    notes.made.append(body.text)
    response.headers["location"] = f"/v2/notes/{len(notes.made)}"
    return {"number": len(notes.made), "text": body.text, "tenant": caller.tenant}


@router.get("/v2/notes/{number}")
async def read_note(number: str, limit: Annotated[int, Query(ge=1, le=10)] = 5) -> dict[str, Any]:
    """Read a note."""
    return {"number": number, "limit": limit}


@router.delete("/v2/notes/{number}", status_code=204)
async def delete_note(number: str) -> None:
    """Delete a note."""
    del number


@router.post("/v2/notes/fail/{how}")
async def fail(how: str, notes: Desk) -> dict[str, Any]:
    """Fail in a way."""
    notes.made.append(how)
    match how:
        case "unavailable":
            raise Unavailable("The database is not answering.", retry_after=1)
        case "deadlock":
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        case "unique":
            raise asyncpg.UniqueViolationError("duplicate key value: secret-value")
        case "range":
            raise asyncpg.DataError("value out of int32 range")
        case _:
            raise RuntimeError("secret-value")


class Said(msgspec.Struct, forbid_unknown_fields=True):
    message: str
    stream: bool = False


async def say(request: Request) -> Response | EventStream:
    """Stands for a chat: its run exists once, whoever asks how often."""
    try:
        body = msgspec.json.decode(await request.body(), type=Said)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    attempt = attempt_of(request.scope)
    if attempt is not None:
        service(request, Notes).runs.append((attempt.run_id, attempt.taken_over, attempt.replay))
    if body.stream:
        return EventStream(_ticks(0, 3, 0), draining=service(request, Flag), headers=[(b"location", b"/v2/runs/1")])
    return Response(msgspec.json.encode({"said": body.message}), media_type="application/json")


async def ticks(request: Request) -> EventStream:
    """Counts, slowly."""
    asked = request.query_params
    frames = _ticks(resume_after(request), int(asked.get("count", "3")), float(asked.get("pause", "0")), int(asked.get("size", "1")))
    pause = timedelta(seconds=float(asked.get("heartbeat", "15")))
    slowest = timedelta(seconds=float(asked.get("slowest", "30")))
    return EventStream(frames, draining=service(request, Flag), heartbeat=pause, slowest_reader=slowest)


async def _ticks(after: int, count: int, pause: float, size: int = 1) -> AsyncGenerator[bytes]:
    for seq in range(after + 1, count + 1):
        await asyncio.sleep(pause)
        yield frame(seq, "tick", msgspec.json.encode({"seq": seq, "text": "x" * size}))


async def slow(request: Request) -> Response:
    """Takes its time."""
    await asyncio.sleep(float(request.query_params["seconds"]))
    return Response(b'{"slow":true}', media_type="application/json")


routes = [
    DescribedRoute("POST", "/v2/say", say, Operation("say", "Say it.", "notes", {200: Answer("What was said.", stream=True)}, body=Said)),
    DescribedRoute("GET", "/v2/ticks", ticks, Operation("ticks", "Count.", "notes", {200: Answer("Numbers.", stream=True)})),
    DescribedRoute("GET", "/v2/slow", slow, Operation("slow", "Wait.", "notes", {200: Answer("It is over.")})),
]
SMALL: Mapping[str, Policy] = {
    "POST /v2/notes": scope("prompts:write"),
    "GET /v2/notes/{number}": scope("prompts:read"),
    "DELETE /v2/notes/{number}": scope("prompts:write", "agents:write"),
    "POST /v2/notes/fail/{how}": ANY_KEY,
    "POST /v2/say": scope("agents:run"),
    "GET /v2/ticks": PUBLIC,
    "GET /v2/slow": PUBLIC,
}


@dataclass
class SmallGateway:
    """What the composition root would make."""

    settings: Settings
    db: Database
    keyring: KeyRing = field(default_factory=lambda: KeyRing([Fernet.generate_key().decode()]))
    metrics: Metrics = field(default_factory=Metrics)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    notes: Notes = field(default_factory=Notes)
    services: dict[type, object] = field(default_factory=dict[type, object])

    def __post_init__(self) -> None:
        self.services |= {
            Authenticator: Authenticator(self.db, None),
            HourlyLimit: HourlyLimit(self.db),
            PromptService: PromptService(self.db),
            Notes: self.notes,
            Flag: self.draining,
            Settings: self.settings,
        }


def make_app(gateway: SmallGateway) -> Door:
    return create_app(gateway, [router, prompts_router, *routes], {**POLICIES, **SMALL})


async def make_key(owner: Connection, *scopes: str, owner_id: str | None = None, rate_limit: int = 0, name: str = "test") -> str:
    """A key in the database, as its plaintext."""
    key = new_key()
    key_id = await owner.fetchval(
        "INSERT INTO api_keys (key_hash, name, owner_id, scopes, rate_limit) VALUES ($1, $2, $3, $4, $5) RETURNING id",
        digest(key),
        name,
        owner_id,
        json.dumps(scopes or ALL_SCOPES),
        rate_limit,
    )
    await owner.execute("INSERT INTO api_key_lineage (key_id, family_id, hint) VALUES ($1, $1, 'pm_test')", key_id)
    return key


@asynccontextmanager
async def client_of(app: Door, key: str | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        yield client


@dataclass
class Server:
    """A server process and where it listens."""

    process: asyncio.subprocess.Process
    host: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float = 20) -> dict[str, Any]:
        """What it says at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            last = await self.process.stdout.read()
            await self.process.wait()
        return json.loads(last) if last else {}

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"x-api-key": key} if key else {}, timeout=30, trust_env=False)

    async def say(self, *parts: bytes, pause: float = 0, until_end: bool = True) -> bytes:
        """Bytes on a connection of their own, and what comes back until it is closed or an answer is complete."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            for part in parts:
                writer.write(part)
                with suppress(ConnectionError):
                    await writer.drain()
                await asyncio.sleep(pause)
            return await _whole(reader, until_end=until_end)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(dsn: str, folder: Path, **settings: Any) -> AsyncGenerator[Server]:
    log = folder / f"server-{os.urandom(4).hex()}.log"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{Path(pointsman.__file__).parent.parent}"}
    arguments = ("-m", "tests.api.edge_process", dsn, str(folder), json.dumps(settings))
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=errors, env=environment
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode().strip()
        assert line.startswith("http://"), log.read_text()
        host, port = line.removeprefix("http://").rsplit(":", 1)
        yield Server(process, host, int(port), log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _whole(reader: asyncio.StreamReader, *, until_end: bool) -> bytes:
    """An answer by its Content-Length, or all until the end."""
    try:
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            if until_end:
                return head + await reader.read()
            length = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            return head + (await reader.readexactly(int(length[0])) if length else await reader.read())
    except asyncio.IncompleteReadError as error:
        return error.partial
