"""The stage of a fault program: a durable PostgreSQL of its own, the fake upstream and real gateway processes, all gone afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tests.conftest import cluster_home
from tests.e2e.connecting import Transport
from tests.e2e.gateways import FAKE_KEYS, KEYRING, GatewayProcess, admin_key, start_gateway
from tests.fakes.upstream import Upstream, start_upstream
from tests.faults import collecting
from tests.faults.answers import Answers
from tests.faults.clients import BROKEN, Client
from tests.faults.evidence import RECORD
from tests.faults.options import Options
from tests.faults.record import Begun, Key, Record

from pointsman.kit.db import connect
from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.migrations import migrate

# A death is noticed as soon as the settings allow without taking a busy machine for a dead one.
QUICK = {"POINTSMAN_RUNS__HEARTBEAT": "0.3", "POINTSMAN_RUNS__DEAD_AFTER": "2", "POINTSMAN_LOG__LEVEL": "warning"}


@dataclass
class Replica:
    """A gateway process under a name."""

    name: str
    process: GatewayProcess
    is_armed: bool = False  # it has a failpoint, so clients go there only when told to

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def pid(self) -> int:
        return self.process.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive


class Stage:
    """What a program plays on; open it with `opened`."""

    def __init__(
        self,
        options: Options,
        *,
        folder: Path,
        database: EmbeddedPostgres,
        home: Path,
        upstream: Upstream,
        http: httpx.AsyncClient,
        answers: Answers,
    ) -> None:
        self.options = options
        self.folder = folder  # logs and data directories of the replicas
        self.database = database
        self.database_home = home
        self.dsn = database.dsn
        self.upstream = upstream
        self.http = http
        self.answers = answers
        self.taken: list[dict[str, Any]] = []  # from the upstream's ledger by `take_ledger`
        self.record = Record(options.report / RECORD)
        self.chance: random.Random = options.chance
        self.replicas: list[Replica] = []
        self.secrets: dict[str, str] = {}
        self.places: dict[str, list[Path]] = {}  # of the program's own, to be searched for secrets with all the others
        self._deadline = time.monotonic() + options.duration
        self._variables: dict[str, str] = {}

    @property
    def time_left(self) -> float:
        """Seconds of the duration that are left; a program ends its rounds when there are none."""
        return self._deadline - time.monotonic()

    # --- replicas

    async def start(self, **variables: str) -> Replica:
        """Start one more replica; `variables` are more of its environment."""
        process = await asyncio.to_thread(lambda: start_gateway(self.dsn, self.folder, self.upstream, **{**self._variables, **variables}))
        self.replicas.append(Replica(f"replica-{len(self.replicas) + 1}", process, is_armed="POINTSMAN_FAILPOINTS" in variables))
        return self.replicas[-1]

    def alive(self) -> list[Replica]:
        """The replicas that live."""
        return [replica for replica in self.replicas if replica.is_alive]

    def any_replica(self) -> Replica:
        """One of those that live, and are not going to die by a failpoint."""
        return self.chance.choice([replica for replica in self.alive() if not replica.is_armed])

    def replica(self, name: str) -> Replica:
        return self.replicas[int(name.rpartition("-")[2]) - 1]

    async def kill(self, replica: Replica) -> None:
        """`kill -9`, noted; others live, so recovery begins at once."""
        began = time.time()
        await asyncio.to_thread(replica.process.kill)
        self.record.fault("replica.killed", began, replica=replica.name)

    async def terminate(self, replica: Replica) -> int:
        """SIGTERM, and wait for the end; its exit status, noted."""
        began = time.time()
        replica.process.terminate()
        status = await replica.process.ended(within=30)
        self.record.fault("replica.terminated", began, replica=replica.name, status=status)
        return status

    # --- the database

    async def kill_database(self, outage: float) -> None:
        """`kill -9` of PostgreSQL; it is started again after so many seconds. The fault is noted from kill to answer."""
        began = time.time()
        os.kill(self.postmaster, signal.SIGKILL)
        await asyncio.sleep(outage)
        await asyncio.to_thread(self.database.start)
        self.record.fault("database.away", began, detail=f"{outage:g} s")

    @property
    def postmaster(self) -> int:
        """The process id of PostgreSQL."""
        (file,) = self.database_home.resolve().rglob("postmaster.pid")
        return int(file.read_text().split("\n", 1)[0])

    # --- callers

    def client(self, name: str, key: str = "admin") -> Client:
        """A recording client with one of the keys."""
        return Client(self, name, key, self.secrets[f"key {key}"])

    async def make_key(self, name: str, *, rate_limit: int = 0, scopes: tuple[str, ...] = ("admin",), **more: Any) -> int:
        """An API key for `client(…, key=name)`; its id."""
        made = await self.ask("POST", "/v2/keys", {"name": name, "rate_limit": rate_limit, "scopes": list(scopes), **more})
        self.secrets[f"key {name}"] = made["api_key"]
        self.record.write(Key(name=name, id=made["id"], rate_limit=rate_limit))
        return made["id"]

    async def agent(self, *, model: str = "openai:gpt-4o", template: str = "You help.", **config: Any) -> str:
        """An agent; its id."""
        agent = f"agent-{self.chance.getrandbits(40):010x}"
        body = {"id": agent, "name": agent, "template": template, "config": {"model": model, **config}}
        return (await self.ask("POST", "/v2/agents", body))["id"]

    async def team(self, *members: str) -> str:
        """A coordinating team of these agents, and another that leads them; its id."""
        agents = [{"agent_id": await self.agent(), "role": "leader"}, *({"agent_id": member} for member in members)]
        body = {"id": f"team-{self.chance.getrandbits(40):010x}", "name": "Team", "mode": "coordinate", "agents": agents}
        return (await self.ask("POST", "/v2/teams", body))["id"]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the program itself, which must be good and is not in the record; it is made again if its replica dies.

        What is made with an id of the program's may be there already then: the answer is what was asked for.
        """
        headers = {"authorization": f"Bearer {self.secrets['key admin']}"}
        again = False
        for _ in range(20):
            try:
                response = await self.http.request(method, self.any_replica().url + path, json=body, headers=headers)
                break
            except BROKEN:
                again = True
                await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{method} {path}: no replica answered")
        if again and method == "POST" and response.status_code == 409:
            return body
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    # --- the end

    async def settle(self, within: float = 45.0) -> bool:
        """Wait until no run is under way; false when one still is after so many seconds, which the checker then tells."""
        deadline = time.monotonic() + within
        connection = await connect(self.dsn, role=None)
        try:
            while await connection.fetchval("SELECT EXISTS (SELECT FROM runs WHERE status IN ('pending', 'running'))"):
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(0.1)
        finally:
            await connection.close()
        return True

    async def take_ledger(self) -> None:
        """Keep what is in the upstream's ledger before it is full; for programs that make more than 20,000 calls."""
        self.taken += await asyncio.to_thread(self.upstream.take)

    async def collect(self) -> None:
        """Leave the ledger, the database and what was found of secrets beside the record, for the checker."""
        await collecting.collect(self)

    async def _prepare(self, replicas: int, variables: dict[str, str]) -> None:
        options = self.options
        self.record.write(Begun(program=options.program, seed=options.seed, count=options.count, at=time.time()))
        self._variables = {**QUICK, **variables}
        await migrate(self.dsn)
        self.secrets["key admin"] = await admin_key(self.dsn, self.folder)
        self.secrets["key ring"] = KEYRING
        self.secrets["database password"] = urlsplit(self.dsn).password or ""
        self.secrets |= {f"provider key {name}": value for name, value in FAKE_KEYS.items()}
        for _ in range(replicas):
            await self.start()


@asynccontextmanager
async def opened(options: Options, *, replicas: int = 2, variables: dict[str, str] | None = None) -> AsyncGenerator[Stage]:
    """A stage with so many replicas; whatever was started is ended when the block ends, however it ends."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pointsman-faults-")))
        home = stack.enter_context(cluster_home(folder))
        database = stack.enter_context(_running_database(home))
        upstream = stack.enter_context(start_upstream())
        (folder / "gateways").mkdir()
        answers = stack.enter_context(closing(Answers(folder / "gateways" / "answers")))
        http = await stack.enter_async_context(_http(answers))
        stage = Stage(options, folder=folder / "gateways", database=database, home=home, upstream=upstream, http=http, answers=answers)
        stack.callback(stage.record.close)
        stack.callback(lambda: [replica.process.stop() for replica in stage.replicas])
        await stage._prepare(replicas, variables or {})
        yield stage


@contextmanager
def _running_database(home: Path) -> Generator[EmbeddedPostgres]:
    database = EmbeddedPostgres(home / "cluster")
    database.start()
    try:
        yield database
    finally:
        database.stop()


def _http(answers: Answers) -> httpx.AsyncClient:
    """For all clients: a connection may be kept for the next call, as a client library would."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    timeout = httpx.Timeout(60, connect=5)
    return httpx.AsyncClient(timeout=timeout, transport=Transport(limits), event_hooks={"response": [answers]})
