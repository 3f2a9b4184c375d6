"""What is done to a system under load: one fault after the other, of each kind equally often, each brought to its end before the next.

The first replica is never killed nor stopped, so that what it holds can be watched from the beginning to the end.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

import httpx
from tests.faults.stage import Replica, Stage

BACK = 30.0  # seconds in which every replica must be ready again
HOSTILE: tuple[bytes, ...] = (
    b"",
    b"{",
    b"null",
    b'{"message": "\xff\xfe"}',
    b'{"message": "\\ud800"}',
    b'{"message": "\\u0000"}',
    b'{"message": "x", "metadata": {"n": ' + b"9" * 400 + b"}}",
    b'{"message": "x", "metadata": ' + b"[" * 1100 + b"]" * 1100 + b"}",
    b'{"message": "x", "message": "y"}',
    b'{"message": 1}',
    b'{"message": "x", "session_id": "../../etc/passwd"}',
    b'{"message": "x", "attachments": [{"media_type": "image/png", "data": "!"}]}',
    b'{"message": "' + b"x" * 21_000_000 + b'"}',
)
Fault = Callable[[], Awaitable[None]]


@dataclass
class Chaos:
    """The faults of one stage."""

    stage: Stage
    agents: list[str]  # each has a prompt of its own under its own id
    done: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    _numbers: count[int] = field(default_factory=count)

    def deck(self, size: int) -> list[Fault]:
        """So many faults in random order; none comes a second time before all have come once."""
        cards: list[Fault] = []
        while len(cards) < size:
            kinds = self.kinds()
            self.stage.chance.shuffle(kinds)
            cards += kinds
        return cards[:size]

    def kinds(self) -> list[Fault]:
        """One of each."""
        return [
            self.upstream_answers_500,
            self.upstream_hangs,
            self.upstream_resets,
            self.replica_killed,
            self.replica_stopped,
            self.database_killed,
            self.clients_leave,
            self.reader_stops_reading,
            self.hostile_bodies,
            self.key_rotated_and_revoked,
            self.agents_and_prompts_edited,
            self.runs_cancelled,
        ]

    async def make(self, fault: Fault) -> None:
        """One fault, and the wait until every replica is ready again."""
        name = fault.__name__.replace("_", " ")
        self.done[name] += 1
        try:
            async with asyncio.timeout(120):
                await fault()
                await self._ready()
        except (TimeoutError, AssertionError, httpx.TransportError) as error:
            self.failures.append(f"{name}: {type(error).__name__} {error}")

    # --- the upstream

    async def upstream_answers_500(self) -> None:
        await self._burst("fault=500")

    async def upstream_hangs(self) -> None:
        await self._burst("fault=hang")

    async def upstream_resets(self) -> None:
        await self._burst("fault=reset")

    async def _burst(self, marks: str) -> None:
        client, number = self.stage.client(f"burst-{next(self._numbers)}"), next(self._numbers)
        agent = self.stage.chance.choice(self.agents)
        asked = (client.chat(agent, f"burst {number} copy {copy} [[n=5 {marks}]]", faulty=True) for copy in range(20))
        await asyncio.gather(*asked)

    # --- processes

    async def replica_killed(self) -> None:
        await self.stage.kill(self._victim())
        await asyncio.sleep(self.stage.chance.uniform(0, 3))
        await self.stage.start()

    async def replica_stopped(self) -> None:
        victim = self._victim()
        await asyncio.gather(self.stage.terminate(victim), self.stage.start())

    async def database_killed(self) -> None:
        await self.stage.kill_database(self.stage.chance.uniform(0.1, 6))

    def _victim(self) -> Replica:
        return self.stage.chance.choice([replica for replica in self.stage.alive() if replica is not self.stage.replicas[0]])

    # --- clients

    async def clients_leave(self) -> None:
        number = next(self._numbers)
        client, agent = self.stage.client(f"leaver-{number}"), self.stage.chance.choice(self.agents)
        streams = (
            client.stream(agent, f"left {number} stream {place} [[n=60 itl=20]]", leave_after=self.stage.chance.randrange(1, 20))
            for place in range(20)
        )
        await asyncio.gather(*streams)

    async def reader_stops_reading(self) -> None:
        """A long stream, of which nothing is read for a while; then the run is read to its end by one who does."""
        message = f"unread {next(self._numbers)} [[n=4000 itl=1]]"
        replica, agent = self.stage.any_replica(), self.stage.chance.choice(self.agents)
        address = urlsplit(replica.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
        body = json.dumps({"message": message, "stream": True, "session_id": f"session-{message.partition(' [')[0].replace(' ', '-')}"})
        key = self.stage.secrets["key admin"]
        writer.write(
            f"POST /v2/agents/{agent}/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(15)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        location = next((line for line in head.decode().split("\r\n") if line.lower().startswith("location:")), "")
        if location:
            await self.stage.client("another-reader").follow(location.rpartition("/")[2], message=message)

    async def hostile_bodies(self) -> None:
        """All at once, twice."""
        agent = self.stage.chance.choice(self.agents)
        await asyncio.gather(*(self._refused(agent, body) for body in HOSTILE * 2))

    async def _refused(self, agent: str, body: bytes) -> None:
        headers = {"authorization": f"Bearer {self.stage.secrets['key admin']}", "content-type": "application/json"}
        url = f"{self.stage.any_replica().url}/v2/agents/{agent}/chat"
        with suppress(httpx.WriteError, httpx.RemoteProtocolError):  # refused before it was sent whole
            answer = await self.stage.http.post(url, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, f"{body[:60]!r} is answered {answer.status_code}"

    async def key_rotated_and_revoked(self) -> None:
        """A key works, so does its successor after a rotation, and neither a second after it was revoked."""
        name, agent = f"rotated-{next(self._numbers)}", self.stage.chance.choice(self.agents)
        key_id = await self.stage.make_key(name)
        await self._asked(name, agent, 200)
        successor = await self.stage.ask("POST", f"/v2/keys/{key_id}/rotate", {})
        self.stage.secrets[f"key {name} rotated"] = successor["api_key"]
        await self._asked(f"{name} rotated", agent, 200)
        for doomed in (key_id, successor["id"]):
            await self.stage.ask("DELETE", f"/v2/keys/{doomed}")
        await asyncio.sleep(1.2)
        for dead in (name, f"{name} rotated"):
            await self._asked(dead, agent, 401)

    async def _asked(self, key: str, agent: str, status: int) -> None:
        client = self.stage.client("key-holder", key)
        call = await client.request("whoami", "GET", "/v2/whoami")
        assert call.status == status, f"{key} was answered {call.status}, not {status}"
        if status == 200:
            call = await client.chat(agent, f"{key} says hello {next(self._numbers)} [[n=3]]", expected="tok0 tok1 tok2 ")
            assert call.status == 200, f"a chat with {key} was answered {call.status} {call.code}"

    async def agents_and_prompts_edited(self) -> None:
        for round_ in range(10):
            for agent in self.agents:
                await self.stage.ask("PATCH", f"/v2/prompts/{agent}", {"template": f"You help, for the {next(self._numbers)}th time."})
                await self.stage.ask("PATCH", f"/v2/agents/{agent}", {"config": {"num_history_runs": 2 + round_ % 2}})

    async def runs_cancelled(self) -> None:
        number = next(self._numbers)
        client, agent = self.stage.client(f"canceller-{number}"), self.stage.chance.choice(self.agents)
        await asyncio.gather(*(self._cancelled(f"cancelled {number} stream {place}", agent, client.name) for place in range(10)))

    async def _cancelled(self, name: str, agent: str, client_name: str) -> None:
        session = name.replace(" ", "-")
        client = self.stage.client(f"{client_name}-{session}")
        listening = asyncio.create_task(client.stream(agent, f"{name} [[n=300 itl=20]]", session=session))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            await asyncio.sleep(self.stage.chance.uniform(0.3, 1))
            runs = (await self.stage.ask("GET", f"/v2/runs?session_id={session}"))["items"]
            if runs:
                await client.request("cancel", "POST", f"/v2/runs/{runs[0]['id']}/cancel")
                break
        call = await listening
        assert call.run_status == "cancelled", f"{name} ended as {call.run_status or call.error}"

    async def _ready(self) -> None:
        deadline = time.monotonic() + BACK
        for replica in self.stage.alive():
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    if (await self.stage.http.get(f"{replica.url}/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(f"{replica.name} was not ready within {BACK:g} s")
