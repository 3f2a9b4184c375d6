"""A mixed load: users who talk, listen, leave, come back, ask twice, read lists and make mistakes, each at its own pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.clients import Client
from tests.faults.record import Call
from tests.faults.stage import Stage

PATIENCE = 60.0  # seconds in which a stream must have been read to its end
# A call whose upstream misbehaves: the gateway answers by a problem, or mends it.
FAULTS = (
    "500",
    "429;retry_after=0",
    "503;fail_times=1",
    "reset",
    "close;after=3",
    "truncate",
    "cut",
    "invalid",
    "nousage",
    "error;after=2",
)
MISTAKES: tuple[tuple[str, str, object], ...] = (
    ("POST", "/v2/agents/{agent}/chat", {"mesage": "a typo"}),
    ("POST", "/v2/agents/nobody/chat", {"message": "is there anybody?"}),
    ("POST", "/v2/agents/{agent}/chat", {"message": "hot", "model_settings": {"temperature": 9}}),
    ("POST", "/v2/agents", {"id": "../x", "name": "x"}),
    ("PATCH", "/v2/agents/{agent}", {"config": {"model": "nobody:knows"}}),
    ("GET", "/v2/runs/run_unknown", None),
    ("GET", "/v2/runs?limit=0", None),
    ("DELETE", "/v2/runs", None),
)
LISTS = (
    "/v2/agents?limit=5",
    "/v2/runs?limit=5",
    "/v2/sessions?limit=5",
    "/v2/prompts?limit=5",
    "/v2/usage?group_by=model&user_id={user}",
    "/v2/runs?session_id={session}&limit=5",
    "/v2/sessions/{session}/messages?limit=5",
    "/v2/memories?user_id={user}&limit=5",
    "/v2/whoami",
)


@dataclass
class Load:
    """Who takes part, and what was done so far."""

    stage: Stage
    agents: list[str]
    users: int = 40
    pace: float = 1.2  # seconds that a user pauses on average
    done: Counter[str] = field(default_factory=Counter[str])
    unfinished: list[str] = field(default_factory=list[str])  # streams that could not be read to their end
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._users = [_User(self, self.stage.client(f"user-{number}"), number) for number in range(self.users)]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The users act until the block ends; then each finishes what it does. The next time they go on where they left off."""
        self.stopping.clear()
        async with asyncio.TaskGroup() as group:
            for user in self._users:
                group.create_task(user.live())
            yield
            self.stopping.set()


class _User:
    def __init__(self, load: Load, client: Client, number: int) -> None:
        self._load = load
        self._client = client
        self._chance = load.stage.chance
        self._name = f"user-{number}"
        self._turns = 0
        self._actions: dict[Callable[[], Awaitable[None]], int] = {
            self._talk: 30,
            self._listen: 16,
            self._leave: 8,
            self._use_a_tool: 6,
            self._ask_twice: 5,
            self._meet_a_fault: 6,
            self._read: 20,
            self._remember: 2,
            self._err: 5,
        }

    async def live(self) -> None:
        """Act and pause until the load stops."""
        while not self._load.stopping.is_set():
            (act,) = self._chance.choices(list(self._actions), list(self._actions.values()))
            await act()
            self._load.done[act.__name__.strip("_").replace("_", " ")] += 1
            await asyncio.sleep(self._chance.expovariate(1 / self._load.pace))

    @property
    def _session(self) -> str:
        return f"session-of-{self._name}-{self._turns // 10}"  # a new one every ten turns

    def _message(self, marks: str) -> str:
        self._turns += 1
        return f"{self._name} says {self._turns} [[{marks}]]"

    def _agent(self) -> str:
        return self._chance.choice(self._load.agents)

    async def _talk(self) -> None:
        tokens = self._chance.randrange(3, 40)
        message = self._message(f"n={tokens}")
        await self._client.chat(self._agent(), message, session=self._session, user_id=self._name, expected=_text(tokens))

    async def _listen(self) -> None:
        await self._stream(leave_after=None)

    async def _leave(self) -> None:
        await self._stream(leave_after=self._chance.randrange(6))

    async def _stream(self, leave_after: int | None) -> None:
        tokens = self._chance.randrange(3, 30)
        message = self._message(f"n={tokens} itl=20")
        call = await self._client.stream(
            self._agent(), message, session=self._session, user_id=self._name, expected=_text(tokens), leave_after=leave_after
        )
        await self._read_to_the_end(call)

    async def _read_to_the_end(self, call: Call) -> None:
        """Come back, after a break too, until the run's last event has come."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while call.run_id and not call.run_status:
            if asyncio.get_running_loop().time() > deadline:
                self._load.unfinished.append(f"{call.message}: {call.run_id} was not read to its end within {PATIENCE:g} s")
                return
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            again = await self._client.come_back(call)
            if not again.events:  # it goes on from where the earlier part ended
                again.after = call.events[-1].id if call.events else call.after
            call = again

    async def _use_a_tool(self) -> None:
        message = self._message("n=5") + " [[tool=current_time]]"
        await self._client.chat(self._agent(), message, session=self._session, user_id=self._name, expected=_text(5))

    async def _ask_twice(self) -> None:
        message, agent = self._message("n=8"), self._agent()
        copies = (
            self._client.chat(
                agent, message, session=self._session, user_id=self._name, expected=_text(8), idempotency_key=f"{self._name}-{self._turns}"
            )
            for _ in range(2)
        )
        await asyncio.gather(*copies)

    async def _meet_a_fault(self) -> None:
        message = self._message(f"n=8 fault={self._chance.choice(FAULTS)}")
        ask = self._client.chat if self._chance.random() < 0.5 else self._client.stream
        await ask(self._agent(), message, user_id=self._name, faulty=True)

    async def _read(self) -> None:
        path = self._chance.choice(LISTS).format(user=self._name, session=self._session)
        await self._client.request("read", "GET", path)

    async def _remember(self) -> None:
        body = {"user_id": self._name, "agent_id": self._agent(), "content": f"What {self._name} said in turn {self._turns}."}
        await self._client.request("remember", "POST", "/v2/memories", body)

    async def _err(self) -> None:
        method, path, body = self._chance.choice(MISTAKES)
        await self._client.request("mistake", method, path.format(agent=self._agent()), body)


def _text(tokens: int) -> str:
    return "".join(f"tok{number} " for number in range(tokens))
