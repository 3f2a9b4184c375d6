"""Commits that took effect while their confirmation was lost: written again without harm, or taken back where the caller was told no."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tests.e2e.calling import Caller, names, unique
from tests.e2e.gateways import KEYRING, admin_key, serving_from_a_thread
from tests.fakes.upstream import Upstream, start_upstream

from pointsman.kit.db import connect
from pointsman.settings import KeyRingSettings, ProviderSettings, RunSettings

_SOCKET = ".s.PGSQL.5432"


@dataclass
class Line:
    """Stands between a gateway and its database, and cuts it when it hears a word, after the database has answered."""

    server: str
    word: bytes = b"\0never"
    outage: float = 0.0
    cuts: int = 0
    is_cut: bool = False
    writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    def cut_after(self, word: str, outage: float) -> None:
        self.word, self.outage = word.encode(), outage

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        answers, questions = await asyncio.open_unix_connection(self.server)
        ends = {writer, questions}
        self.writers |= ends
        ways = {asyncio.create_task(self._ask(reader, questions)), asyncio.create_task(self._answer(answers, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)  # each end may break at any time
            self.writers -= ends
            for end in ends:
                end.close()

    async def _ask(self, reader: asyncio.StreamReader, questions: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            heard = self.word in piece
            if heard:
                self.is_cut = True  # what the database answers from now on reaches nobody
            questions.write(piece)
            if heard:
                await asyncio.sleep(0.2)  # it commits
                self._cut()
                return

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await answers.read(65536):
            if not self.is_cut:
                writer.write(piece)

    def _cut(self) -> None:
        self.cuts += 1
        self.word = b"\0never"
        for writer in self.writers:
            writer.close()
        asyncio.get_running_loop().call_later(self.outage, setattr, self, "is_cut", False)


@pytest.fixture
async def line(dsn: str, tmp_path: Path) -> AsyncGenerator[Line]:
    (server,) = parse_qs(urlsplit(dsn).query)["host"]
    line = Line(f"{server}/{_SOCKET}")
    serving = await asyncio.start_unix_server(line.serve, tmp_path / _SOCKET)
    yield line
    serving.close()


@dataclass(frozen=True)
class Quiet:
    """A gateway behind the line."""

    caller: Caller
    upstream: Upstream
    dsn: str

    async def count(self, query: str, *values: object) -> int:
        connection = await connect(self.dsn, role=None)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()


@pytest.fixture
async def quiet(dsn: str, tmp_path: Path, line: Line) -> AsyncGenerator[Quiet]:
    assert line.cuts == 0
    behind = urlsplit(dsn)._replace(query=urlencode({"host": str(tmp_path)})).geturl()
    key = await admin_key(dsn, tmp_path)
    with start_upstream() as upstream, contextlib.ExitStack() as stack:
        settings = {
            "data_dir": tmp_path / "data",
            "keyring": KeyRingSettings.model_validate({"keys": [KEYRING]}),
            "providers": {"vllm": ProviderSettings(base_url=upstream.openai_url)},
            "runs": RunSettings(heartbeat=timedelta(seconds=0.2), dead_after=timedelta(seconds=1)),
        }
        # Entered beside the loop that carries its line.
        url = await asyncio.to_thread(stack.enter_context, serving_from_a_thread(behind, settings))
        caller = Caller(url, key)
        yield Quiet(caller, upstream, dsn)
        await caller.aclose()
        await asyncio.to_thread(stack.close)


async def asked(quiet: Quiet, word: str) -> int:
    return sum(word in entry["text"] for entry in await asyncio.to_thread(quiet.upstream.ledger))


async def test_an_opening_whose_confirmation_is_lost_for_a_moment_is_the_turn(quiet: Quiet, line: Line) -> None:
    agent = await quiet.caller.agent(model="vllm:llama")
    await quiet.caller.chat(agent, "warm up")
    word, session = unique("opening"), unique("session")
    line.cut_after(word, outage=0.5)
    answer = await quiet.caller.chat(agent, f"{word} [[n=2]]", session_id=session)
    assert (line.cuts, answer["content"]) == (1, "tok0 tok1 ")
    assert await asked(quiet, word) == 1
    assert len((await quiet.caller.get("/v2/runs", session_id=session))["items"]) == 1


async def test_an_opening_whose_caller_was_told_no_is_taken_back(quiet: Quiet, line: Line) -> None:
    agent = await quiet.caller.agent(model="vllm:llama")
    await quiet.caller.chat(agent, "warm up")
    word, session = unique("refused"), unique("session")
    line.cut_after(word, outage=5)
    response = await quiet.caller.try_chat(agent, word, session_id=session)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert "tried" not in response.json()
    assert await quiet.count("SELECT count(*) FROM runs WHERE session_id = $1 AND status = 'running'", session) == 1
    async with asyncio.timeout(20):
        while (again := await quiet.caller.try_chat(agent, f"{word} again", session_id=session)).status_code != 200:
            assert again.status_code in {503, 409}
            await asyncio.sleep(0.1)
    taken_back, made = reversed((await quiet.caller.get("/v2/runs", session_id=session))["items"])
    assert (taken_back["status"], taken_back["usage"]["total_tokens"]) == ("cancelled", 0)
    assert names(await quiet.caller.replay(taken_back["id"]))[-1] == "run.cancelled"
    assert made["status"] == "completed"
    assert await asked(quiet, word) == 1, "the model was asked for the second one only"


@pytest.mark.parametrize("outage", [0.3, 2])
async def test_an_end_whose_confirmation_is_lost_is_written_once(quiet: Quiet, line: Line, outage: float) -> None:
    agent = await quiet.caller.agent(model="vllm:llama")
    await quiet.caller.chat(agent, "warm up")
    word, said, session = unique("ending"), unique("said"), unique("session")
    # The end is the first that says the whole of it: its pieces go out one by one.
    middle = len(said) // 2
    turn = asyncio.create_task(quiet.caller.chat(agent, f"{word} [[say={said[:middle]} {said[middle:]}]] [[ttft=300]]", session_id=session))
    while not await asked(quiet, word):
        await asyncio.sleep(0.01)
    line.cut_after(f"{said[:middle]} {said[middle:]}", outage)
    answer = await turn
    assert (line.cuts, answer["content"]) == (1, f"{said[:middle]} {said[middle:]}")
    run_id = answer["run_id"]
    assert await quiet.count("SELECT count(*) FROM messages WHERE run_id = $1", run_id) == 2
    assert await quiet.count("SELECT count(*) FROM usage_details WHERE run_id = $1", run_id) == 1
    events = await quiet.caller.replay(run_id)
    assert names(events).count("run.completed") == 1
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert (await quiet.caller.chat(agent, "next", session_id=session))["status"] == "completed"
