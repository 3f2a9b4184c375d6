"""Our own code agent: what its tools do in the sandbox, what they may not do, and how it waits for a person."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.execution.engine_scene import parts_of
from tests.fakes.sandbox import FolderSandbox
from tests.fakes.work import FakeWork
from tests.prompts.catalogue_app import CALLER

from pointsman.budgets.schemas import BudgetCreate
from pointsman.budgets.service import BudgetService
from pointsman.budgets.settling import sweep
from pointsman.execution.engines import Parts
from pointsman.execution.engines.code_agent.builtin import BuiltinEngine, default_model
from pointsman.execution.errors import TargetFailed
from pointsman.execution.handlers import BuiltinAgent
from pointsman.execution.ports import Asks, Done, Failed, Outcome, Permit, RanOut
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Connection, Database
from pointsman.llm.errors import ModelUnavailable
from pointsman.settings import Settings

PROGRAM = "def add(a, b):\n    return a - b\n"


@pytest.fixture
async def parts(settings: Settings, db: Database, dsn: str) -> AsyncGenerator[Parts]:
    async with parts_of(settings, db, dsn) as parts:
        yield parts


@pytest.fixture
def place(tmp_path: Path) -> FolderSandbox:
    folder = tmp_path / "workspace"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "sums.py").write_text(PROGRAM)
    (folder / "README.md").write_text("Sums.\n")
    return FolderSandbox(folder)


def work_of(place: FolderSandbox, permissions: dict[str, list[str]] | None = None, **spec: Any) -> FakeWork:
    worker = WorkerConfig.model_validate({"permissions": permissions or {}})
    return FakeWork(place, spec=JobSpec.model_validate(spec), worker=worker, prompt="Mend add.")


def turn(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": args} for name, args in calls]}


def agent_of(parts: Parts, *turns: dict[str, Any], **config: Any) -> BuiltinEngine:
    script = {"turns": [*turns, {"text": "Last heard: {tool_result}"}]}
    return BuiltinEngine(BuiltinAgent.model_validate({"model": "scripted:coder", "script": script, **config}), parts)


async def done(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome, Done), outcome
    return outcome.result


async def test_a_bug_is_found_mended_and_tested(parts: Parts, place: FolderSandbox, owner: Connection) -> None:
    agent = agent_of(
        parts,
        turn(("list_files", {}), ("search", {"pattern": "def add"})),
        turn(("read_file", {"path": "src/sums.py"})),
        turn(("edit_file", {"path": "src/sums.py", "old": "a - b", "new": "a + b"})),
        turn(("command", {"argv": ["sh", "-c", "grep -c 'a + b' src/sums.py"]})),
    )
    work = work_of(place, objective="Sums are right")
    result = await done(await agent.run(work))
    assert (result["status"], result["output"], result["files_changed"]) == ("completed", "Last heard: exit 0\n1\n", ["src/sums.py"])
    assert result["diff"] == (
        "--- a/src/sums.py\n+++ b/src/sums.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
    )
    assert [(one["argv"][0], one["exit_code"]) for one in result["commands"]] == [("sh", 0)]
    assert result["usage"]["calls"] == result["steps"] == 5
    assert "> edit_file src/sums.py\n" in work.text()
    spent = await owner.fetch("SELECT * FROM token_usage t JOIN usage_details d ON d.usage_id = t.id ORDER BY d.call")
    assert [row["call"] for row in spent] == [100_000 + number for number in range(5)]
    assert {row["run_id"] for row in spent} == {f"job_{work.job_id}"}
    assert sum(row["total_tokens"] for row in spent) == result["usage"]["total_tokens"]


async def test_the_model_is_told_the_task_and_its_bounds(parts: Parts, place: FolderSandbox) -> None:
    script = {"turns": [{"text": "{system}\n---\n{message}\n---\n{tools}"}]}
    agent = BuiltinEngine(BuiltinAgent.model_validate({"model": "scripted:coder", "script": script, "instructions": "Be brief."}), parts)
    spec = {
        "objective": "O1",
        "acceptance_criteria": ["A1"],
        "stop_conditions": ["S1"],
        "forbidden_actions": ["F1"],
        "output_contract": "C1",
    }
    output = (await done(await agent.run(work_of(place, None, **spec))))["output"]
    assert [text for text in ("O1", "A1", "S1", "F1", "C1", "Be brief.", "push to a git remote", "Mend add.") if text not in output] == []
    assert output.endswith("list_files, read_file, search, write_file, edit_file, delete_file, command")


async def test_tools_tell_the_model_what_went_wrong(parts: Parts, place: FolderSandbox) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("read_file", {"path": "none.py"}, "There is no file none.py."),
        ("read_file", {"path": "../x"}, "path: Paths are relative to the workspace and do not lead out of it."),
        ("read_file", {"path": "/etc/passwd"}, "path: Paths are relative to the workspace and do not lead out of it."),
        ("edit_file", {"path": "README.md", "old": "x", "new": "y"}, "`old` stands 0 times in README.md; nothing was changed."),
        ("write_file", {"path": "a"}, "content: Field required"),
        ("search", {"pattern": "nowhere"}, "[no line matches]"),
        ("command", {"argv": "echo 'a b' c"}, "exit 0\na b c\n"),
        ("command", {"argv": "sh -c 'exit 4'"}, "exit 4\n"),
        ("command", {"argv": ["echo", "\0"]}, "The arguments have a NUL or half a character in them."),
        ("write_file", {"path": "a", "content": "'\\u0000'"}, "Wrote a."),
        ("no_tool", {}, "There is no tool 'no_tool'."),
    ]
    for name, args, said in cases:
        result = await done(await agent_of(parts, turn((name, args))).run(work_of(place)))
        assert result["output"].startswith(f"Last heard: {said}"), (name, args)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (("command", {"argv": ["git", "push"]}), "allow_git_push is off"),
        (("command", {"argv": ["sh", "-c", "cd src && git push origin"]}), "allow_git_push is off"),
        (("command", {"argv": ["pip", "install", "x"]}), "allow_dependency_install is off"),
        (("command", {"argv": ["bash", "-c", "curl x"]}), "permissions.deny has command(curl *)"),
        (("write_file", {"path": "docs/a.md", "content": "x"}), "docs/a.md is not in one of the allowed directories (src)"),
        (("read_file", {"path": "src/secret/key"}), "src/secret/key is in a forbidden directory"),
        (("edit_file", {"path": "src/../README.md", "old": "S", "new": "T"}), "README.md is not in one of the allowed directories (src)"),
        (("delete_file", {"path": "src/sums.py"}), "allow_delete_files is off"),
        (("search", {"pattern": "x", "path": "docs"}), "docs is not in one of the allowed directories (src)"),
    ],
)
async def test_what_is_not_allowed_is_told_to_the_model_and_not_done(
    parts: Parts, place: FolderSandbox, call: tuple[str, dict[str, Any]], why: str
) -> None:
    work = work_of(place, {"deny": ["command(curl *)"]}, allowed_directories=["src/"], forbidden_directories=["src/secret"])
    result = await done(await agent_of(parts, turn(call)).run(work))
    assert result["output"] == f"Last heard: Not allowed: {why}."
    assert (place.ran, result["files_changed"], work.asked) == ([], [], [])


async def test_only_allowed_tools_and_commands_can_be_used(parts: Parts, place: FolderSandbox) -> None:
    agent = agent_of(parts, turn(("command", {"argv": ["touch", "a"]})), turn(("write_file", {"path": "a", "content": ""})))
    work = work_of(place)
    work.allowance = replace(work.allowance, commands=(("ls *",),), tools=(("command", "read_*"),))
    result = await done(await agent.run(work))
    assert place.ran == []
    assert "There is no tool 'write_file'. Tools: read_file, command." in result["output"]
    assert "[command: Not allowed: the command is not among the allowed commands.]" in work.text()


async def test_what_a_command_does_beyond_its_borders_is_put_back(parts: Parts, place: FolderSandbox) -> None:
    script = "echo x > src/new; echo x >> README.md; echo x > outside; mv src/sums.py src/moved"
    work = work_of(place, allowed_directories=["src"])
    result = await done(await agent_of(parts, turn(("command", {"argv": ["sh", "-c", script]}))).run(work))
    assert result["output"].endswith("Not allowed, hence put back as it was: README.md, outside, src/sums.py.")
    assert result["files_changed"] == ["src/moved", "src/new"]
    assert (place.folder / "README.md").read_text() == "Sums.\n"
    assert (place.folder / "src" / "sums.py").read_text() == PROGRAM


async def test_files_may_be_deleted_where_that_is_granted_and_always_ones_own(parts: Parts, place: FolderSandbox) -> None:
    agent = agent_of(
        parts,
        turn(("write_file", {"path": "mine", "content": "x"})),
        turn(("delete_file", {"path": "mine"}), ("command", {"argv": ["unlink", "README.md"]})),
    )
    work = work_of(place)
    assert (await done(await agent.run(work)))["files_changed"] == []
    work.allowance = replace(work.allowance, dangers=frozenset({"delete_files"}))
    assert (await done(await agent.run(work)))["files_changed"] == ["README.md"]


async def test_who_only_observes_has_no_tool_that_writes(parts: Parts, place: FolderSandbox) -> None:
    agent = BuiltinEngine(BuiltinAgent.model_validate({"model": "scripted:x", "script": {"turns": [{"text": "{tools}"}]}}), parts)
    result = await done(await agent.run(work_of(place, operation_mode="observe_only")))
    assert result["output"] == "list_files, read_file, search, command"


async def test_a_workspace_that_grows_too_large_fails_no_job_and_keeps_no_file(parts: Parts, place: FolderSandbox) -> None:
    place.most = 100_000
    agent = agent_of(parts, turn(("command", {"argv": ["sh", "-c", "head -c 200000 /dev/urandom > big"]})))
    result = await done(await agent.run(work_of(place)))
    assert "no file of it will be kept" in result["output"]
    assert (result["files_changed"], result["files_unknown"]) == ([], "The workspace is too large.")


# --- asking


async def test_an_asking_call_waits_and_goes_on_from_where_it_stood(parts: Parts, place: FolderSandbox, tmp_path: Path) -> None:
    agent = agent_of(
        parts,
        turn(("edit_file", {"path": "src/sums.py", "old": "a - b", "new": "a + b"})),
        turn(("read_file", {"path": "README.md"}), ("command", {"argv": ["make", "release"]}), ("command", {"argv": ["make", "b"]})),
        turn(("command", {"argv": ["touch", "after"]})),
    )
    work = work_of(place, {"ask": ["command(make *)"]})
    asks = await agent.run(work)
    assert isinstance(asks, Asks)
    assert asks.approvals == ("apr_2.call_1_1", "apr_2.call_1_2")
    assert work.asked[0] == ("2.call_1_1", "command", "make release", {"argv": ["make", "release"]})
    assert asks.workspace is not None

    other = FolderSandbox(tmp_path / "another")
    other.folder.mkdir()
    await other.upload(asks.workspace)
    again = work_of(other, {"ask": ["command(make *)"]})
    again.epoch, again.checkpoint = 2, json.loads(json.dumps(asks.checkpoint))
    again.decisions["2.call_1_1"] = Permit("allow", {"argv": ["echo", "released"]}, approval_id="apr_2.call_1_1")
    again.decisions["2.call_1_2"] = Permit("deny", {}, "Not b.")
    result = await done(await agent.run(again))
    assert [one["argv"] for one in result["commands"]] == [["echo", "released"], ["touch", "after"]]
    assert result["files_changed"] == ["after", "src/sums.py"]
    assert "-    return a - b\n+    return a + b\n" in result["diff"]
    assert (result["usage"]["calls"], result["steps"]) == (4, 4)
    assert place.ran == []
    assert "[command: Denied: Not b.]" in again.text()


async def test_a_denial_is_heard_by_the_model_and_has_no_effect(parts: Parts, place: FolderSandbox) -> None:
    agent = agent_of(parts, turn(("command", {"argv": ["touch", "a"]})))
    work = work_of(place, {"ask": ["*"]})
    assert isinstance(await agent.run(work), Asks)
    work.decisions["1.call_0_0"] = Permit("deny", {}, "Too risky for a Friday.")
    result = await done(await agent.run(work))
    assert result["output"] == "Last heard: Denied: Too risky for a Friday."
    assert (place.ran, result["files_changed"]) == ([], [])


async def test_an_edited_call_is_held_against_what_is_allowed(parts: Parts, place: FolderSandbox) -> None:
    agent = agent_of(parts, turn(("command", {"argv": ["make"]})))
    work = work_of(place, {"ask": ["*"]})
    work.decisions["1.call_0_0"] = Permit("allow", {"argv": ["git", "push"]}, approval_id="apr")
    assert (await done(await agent.run(work)))["output"] == "Last heard: Not allowed: allow_git_push is off."


# --- failing


async def test_memory_that_ran_out_ends_the_attempt_with_its_evidence(parts: Parts, place: FolderSandbox) -> None:
    place.out_of_memory = {"greedy"}
    outcome = await agent_of(parts, turn(("command", {"argv": ["greedy"]}))).run(work_of(place))
    assert isinstance(outcome, RanOut)
    assert (outcome.evidence.source, outcome.result["usage"]["calls"]) == ("fake", 1)


async def test_a_target_that_fails_is_not_the_models_business(parts: Parts, place: FolderSandbox) -> None:
    class Broken(FolderSandbox):
        async def exec(self, *_: Any, **__: Any) -> Any:
            raise TargetFailed("The daemon is gone.")

    agent = agent_of(parts, turn(("command", {"argv": ["true"]})))
    with pytest.raises(TargetFailed, match="The daemon is gone"):
        await agent.run(work_of(Broken(place.folder)))


async def test_a_model_that_fails_for_good_ends_the_job_and_one_that_may_come_back_the_attempt(parts: Parts, place: FolderSandbox) -> None:
    for kind, outcome in (("rejected", Failed), ("unavailable", ModelUnavailable)):
        script = {"turns": [turn(("list_files", {})), {"error": {"kind": kind}}]}
        agent = BuiltinEngine(BuiltinAgent.model_validate({"model": "scripted:x", "script": script}), parts)
        if outcome is Failed:
            failed = await agent.run(work_of(place))
            assert isinstance(failed, Failed)
            assert failed.reason.startswith("model: model-rejected: ")
            assert failed.result["usage"]["calls"] == 1
        else:
            with pytest.raises(ModelUnavailable):
                await agent.run(work_of(place))


async def test_a_model_that_goes_in_circles_is_ended(parts: Parts, place: FolderSandbox) -> None:
    agent = agent_of(parts, *[turn(("list_files", {})) for _ in range(9)], max_steps=3)
    outcome = await agent.run(work_of(place))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "model: model-too-many-steps: No answer after 3 model calls."


async def test_a_call_that_is_cut_off_is_counted_by_estimate(parts: Parts, place: FolderSandbox, owner: Connection) -> None:
    script = {"turns": [{"text": "word " * 1000, "delay_ms": 10}]}
    agent = BuiltinEngine(BuiltinAgent.model_validate({"model": "scripted:x", "script": script}), parts)
    work = work_of(place)
    running = asyncio.create_task(agent.run(work))
    while not work.told:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    row = await owner.fetchrow("SELECT prompt_tokens, completion_tokens, is_estimated FROM token_usage")
    assert row is not None
    assert row["is_estimated"]
    assert 0 < row["completion_tokens"] < 1000


# --- models


async def test_without_a_model_of_its_own_the_engine_asks_the_worker_agents(parts: Parts, place: FolderSandbox, owner: Connection) -> None:
    config = {"model": "scripted:theirs", "script": {"turns": [{"text": "Their script, {model}."}]}, "model_settings": {}}
    await owner.execute("INSERT INTO agent_info (id, name, version, tags, config) VALUES ('w', 'W', '2.0', '[]', $1)", json.dumps(config))
    work = work_of(place)
    work.agent_id = "w"
    assert (await done(await BuiltinEngine(BuiltinAgent(), parts).run(work)))["output"] == "Their script, scripted:theirs."


async def test_without_any_model_the_engines_provider_is_asked(parts: Parts, place: FolderSandbox) -> None:
    assert (await done(await BuiltinEngine(BuiltinAgent(), parts).run(work_of(place))))["output"] == "Mend add."
    assert default_model("anthropic") == "anthropic:claude-opus-5-5"
    work = work_of(place)
    work.provider = "anthropic"
    outcome = await BuiltinEngine(BuiltinAgent(), parts).run(work)
    assert isinstance(outcome, Failed)
    assert "ANTHROPIC_API_KEY" in outcome.reason or "No key is set" in outcome.reason


def test_the_fake_sandbox_leaves_out_what_is_not_there(place: FolderSandbox) -> None:
    data = asyncio.run(place.download(["none", "README.md"]))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["README.md"]


# --- budgets


async def test_a_budget_that_is_used_up_ends_the_job_and_holds_nothing(
    parts: Parts, place: FolderSandbox, db: Database, owner: Connection
) -> None:
    async def exists(_: str) -> object:
        return None

    service = BudgetService(db, require_agent=exists, changed=lambda _: None)
    given = {"id": "small", "subject_type": "tenant", "subject_id": "acme", "unit": "tokens", "period": "day", "amount": 6000}
    await service.create_budget(CALLER, BudgetCreate.model_validate(given))
    reserving = asyncio.create_task(parts.budgets.run())
    try:
        heavy = {"tool_calls": [{"name": "list_files"}], "usage": {"prompt_tokens": 5500, "completion_tokens": 200}}
        agent = agent_of(parts, heavy, heavy, model_settings={"max_tokens": 100})
        work = work_of(place)
        work.tenant_id = "acme"
        outcome = await agent.run(work)
    finally:
        reserving.cancel()
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("model: budget-exhausted: ")
    row = await owner.fetchrow("SELECT spent, reserved FROM budget_counters")
    assert row is not None
    assert (int(row["spent"]), int(row["reserved"])) == (5700, 0)


async def test_what_a_living_job_holds_of_budgets_is_not_given_away(db: Database, owner: Connection) -> None:
    await owner.execute("INSERT INTO execution_jobs (id, prompt, status) VALUES (gen_random_uuid(), 'a', 'queued')")
    living = await owner.fetchval("SELECT 'job_' || id FROM execution_jobs")
    number = await owner.fetchval(
        "INSERT INTO budgets (tenant_id, id, subject_type, subject_id, unit, period, by_operator, version)"
        " VALUES ('', 'b', 'tenant', 'acme', 'tokens', 'day', true, 1) RETURNING number"
    )
    for run in (living, "job_6f9c1a52-0000-4000-8000-00000000000f", "run_gone"):
        await owner.execute("INSERT INTO budget_reservations (run_id, epoch, slot, number, amount) VALUES ($1, 1, 1, $2, 5)", run, number)
    async with db.connection() as connection:
        assert await sweep(connection) == 2
    assert [row["run_id"] for row in await owner.fetch("SELECT run_id FROM budget_reservations")] == [living]
