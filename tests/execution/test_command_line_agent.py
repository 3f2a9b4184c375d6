"""Any coding agent with a command line: a fake one in a process of its own that speaks JSON lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.execution.engine_scene import parts_of
from tests.fakes.sandbox import FolderSandbox
from tests.fakes.work import FakeWork

from pointsman.execution.engines import Parts
from pointsman.execution.engines.code_agent.command_line import CommandLineEngine
from pointsman.execution.engines.code_agent.stream import StreamedJson
from pointsman.execution.handlers import CommandAgent, StreamMapping
from pointsman.execution.ports import Asks, Done, Failed, Permit, RanOut
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings

AGENT = str(Path(__file__).parents[1] / "fakes" / "coding_agent.py")


@pytest.fixture
async def parts(settings: Settings, db: Database, dsn: str) -> AsyncGenerator[Parts]:
    with_secret = settings.model_copy(update={"secrets": {"agent_key": SecretStr("hunter22")}})
    async with parts_of(with_secret, db, dsn) as parts:
        yield parts


@pytest.fixture
def place(tmp_path: Path) -> FolderSandbox:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "kept").write_text("kept\n")
    return FolderSandbox(folder)


def engine_of(parts: Parts, **config: Any) -> CommandLineEngine:
    given: dict[str, Any] = {
        "handler": "cli",
        "argv": [sys.executable, AGENT, "--", "{system}", "{prompt}"],
        "parser": "stream-json",
        **config,
    }
    return CommandLineEngine(CommandAgent.model_validate(given), parts)


def work_of(place: FolderSandbox, prompt: str, permissions: dict[str, list[str]] | None = None, **spec: Any) -> FakeWork:
    worker = WorkerConfig.model_validate({"permissions": permissions or {}})
    return FakeWork(place, spec=JobSpec.model_validate(spec), worker=worker, prompt=prompt, provider="anthropic")


async def test_the_agent_works_in_the_sandbox_and_is_followed(parts: Parts, place: FolderSandbox, owner: Connection) -> None:
    work = work_of(place, "say=Looking-around write=src/new.py noise other")
    outcome = await engine_of(parts).run(work)
    assert isinstance(outcome, Done), outcome
    result = outcome.result
    assert {name: result[name] for name in ("status", "output", "exit_code", "files_changed", "tools")} == {
        "status": "completed",
        "output": "All mended.",
        "exit_code": 0,
        "files_changed": ["src/new.py"],
        "tools": ["Write"],
    }
    assert result["diff"] == "--- /dev/null\n+++ b/src/new.py\n@@ -0,0 +1 @@\n+written\n"
    assert work.text() == "Looking around \n> Write\nnot JSON at all\n"
    assert (result["usage"]["prompt_tokens"], result["usage"]["completion_tokens"]) == (120, 34)
    row = await owner.fetchrow("SELECT model, prompt_tokens, completion_tokens, is_estimated FROM token_usage")
    assert row is not None
    assert tuple(row[name] for name in row.keys()) == ("anthropic:claude-fake-1", 120, 34, False)  # noqa: SIM118 - a Record


async def test_an_error_that_the_agent_reports_fails_the_job_and_its_usage_counts(parts: Parts, place: FolderSandbox) -> None:
    outcome = await engine_of(parts).run(work_of(place, "write=a error"))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "model: The provider refused."
    assert (outcome.result["files_changed"], outcome.result["usage"]["total_tokens"]) == (["a"], 154)


async def test_an_exit_code_fails_the_job(parts: Parts, place: FolderSandbox) -> None:
    outcome = await engine_of(parts).run(work_of(place, "exit=3"))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("exit 3: ")


async def test_memory_that_ran_out_is_told_with_its_evidence(parts: Parts, place: FolderSandbox) -> None:
    place.out_of_memory = {sys.executable}
    assert isinstance(await engine_of(parts).run(work_of(place, "x")), RanOut)


async def test_plain_text_is_the_answer_as_it_is(parts: Parts, place: FolderSandbox) -> None:
    engine = engine_of(parts, argv=["sh", "-c", "printf 'done: %s' \"$1\"", "sh", "{job_id} {unknown} {system}"], parser="text")
    outcome = await engine.run(work_of(place, "x"))
    assert isinstance(outcome, Done)
    assert outcome.result["output"].startswith("done: 6f9c1a52-0000-4000-8000-000000000001 {unknown} You work on")


async def test_a_prompt_is_no_template_and_no_shell(parts: Parts, place: FolderSandbox) -> None:
    engine = engine_of(parts, argv=["echo", "{prompt}", "{model}"], parser="text", model="m", stdin="prompt")
    outcome = await engine.run(work_of(place, "{model} $(touch x); `y`"))
    assert isinstance(outcome, Done)
    assert outcome.result["output"] == "{model} $(touch x); `y` m\n"
    assert not (place.folder / "x").exists()


async def test_the_prompt_may_come_on_standard_input(parts: Parts, place: FolderSandbox) -> None:
    outcome = await engine_of(parts, argv=[sys.executable, AGENT, "-"], stdin="prompt").run(work_of(place, "write=b"))
    assert isinstance(outcome, Done)
    assert outcome.result["files_changed"] == ["b"]


async def test_secrets_reach_the_agent_by_name(parts: Parts, place: FolderSandbox) -> None:
    work = work_of(place, "environment=AGENT_KEY")
    await engine_of(parts, env={"AGENT_KEY": {"secret": "agent_key"}}).run(work)
    assert work.text() == "hunter22"


async def test_what_the_agent_does_beyond_its_borders_is_put_back(parts: Parts, place: FolderSandbox) -> None:
    outcome = await engine_of(parts).run(work_of(place, "write=src/a write=other/b delete=kept", allowed_directories=["src"]))
    assert isinstance(outcome, Done)
    assert (outcome.result["files_changed"], outcome.result["files_put_back"]) == (["src/a"], ["kept", "other/b"])
    assert (place.folder / "kept").read_text() == "kept\n"


@pytest.mark.parametrize("field", ["tools", "commands", "deny"])
async def test_a_restriction_that_the_agent_would_not_hear_of_is_not_passed_over(parts: Parts, place: FolderSandbox, field: str) -> None:
    work = work_of(place, "x", {"deny": ["Bash"]} if field == "deny" else None)
    if field != "deny":
        work.allowance = replace(work.allowance, **{field: (("Edit", "Read"), ("Read",))})
    outcome = await engine_of(parts).run(work)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("denied: this engine does not tell its agent of ")
    assert place.ran == []
    told = engine_of(parts, argv=["echo", "{allowed_tools}|{allowed_commands}|{denied_tools}"], parser="text")
    outcome = await told.run(work)
    assert isinstance(outcome, Done)
    assert outcome.result["output"] == {"tools": "Read||\n", "commands": "|Read|\n", "deny": "||Bash\n"}[field]


async def test_a_job_that_asks_is_started_once_somebody_has_decided(parts: Parts, place: FolderSandbox) -> None:
    engine, work = engine_of(parts), work_of(place, "write=a", {"ask": ["*"]})
    assert await engine.run(work) == Asks(("apr_agent",))
    assert place.ran == []
    work.decisions["agent"] = Permit("deny", {}, "No.")
    assert isinstance(await engine.run(work), Failed)
    assert place.ran == []
    work.decisions["agent"] = Permit("allow", work.asked[0][3], approval_id="apr_agent")
    assert isinstance(await engine.run(work), Done)


async def test_a_cancelled_job_leaves_no_agent_behind(parts: Parts, place: FolderSandbox) -> None:
    work = work_of(place, "say=hi sleep=60 write=late")
    running = asyncio.create_task(engine_of(parts).run(work))
    while not work.told:
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not (place.folder / "late").exists()


def test_lines_are_read_by_the_mapping_however_they_are_cut() -> None:
    mapping = StreamMapping.model_validate(
        {
            "type": "kind",
            "text": {"assistant": "message.content.*.text"},
            "tool": {"assistant": "message.content.*.name"},
            "result": {"end": "said"},
            "usage": {"assistant": "message.usage"},
            "model": "message.model",
        }
    )
    told: list[str] = []
    reader = StreamedJson(mapping, lambda text, _stream: told.append(text))
    inner = '{"model":"m","content":[{"text":"é"},{"name":"Bash"},{"text":"b"}],"usage":{"input_tokens":3,"output_tokens":"x"}}'
    message = f'{{"kind":"assistant","message":{inner}}}'
    data = f"{message}\n[1,2]\n\n{message}\n".encode() + b'{"kind":"end","said":"a\\u0000\\ud800"}'
    for position in range(len(data)):
        reader.add(data[position : position + 1])
    reader.end()
    assert (reader.text, reader.tools) == ("a\ufffd?", ["Bash", "Bash"])
    assert [(model, usage.prompt_tokens, usage.completion_tokens) for model, usage in reader.usages] == [("m", 3, 0), ("m", 3, 0)]
    assert told == ["éb", "\n> Bash\n", "[1,2]\n", "éb", "\n> Bash\n"]
