"""Commands are run as they are, in order, to the first that fails; what they may not do they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.sandbox import FolderSandbox
from tests.fakes.work import FakeWork

from pointsman.execution.engines.direct_ops import DirectOps
from pointsman.execution.ports import Asks, Done, Failed, Permit, RanOut
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.worker_config import WorkerConfig


@pytest.fixture
def place(tmp_path: Path) -> FolderSandbox:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return FolderSandbox(folder)


def work_of(place: FolderSandbox, *commands: list[str], **permissions: list[str]) -> FakeWork:
    spec = JobSpec.model_validate({"commands": list(commands)})
    return FakeWork(place, spec=spec, worker=WorkerConfig.model_validate({"permissions": permissions}))


async def done(work: FakeWork) -> dict[str, Any]:
    outcome = await DirectOps().run(work)
    assert isinstance(outcome, Done), outcome
    return outcome.result


async def failed(work: FakeWork) -> Failed:
    outcome = await DirectOps().run(work)
    assert isinstance(outcome, Failed), outcome
    return outcome


async def test_commands_run_in_order_and_tell_what_they_print(place: FolderSandbox) -> None:
    work = work_of(place, ["sh", "-c", "echo one > a; echo first"], ["sh", "-c", "cat a; echo aside >&2"])
    result = await done(work)
    assert {name: result[name] for name in ("status", "output", "exit_code", "files_changed", "peak_memory_mb")} == {
        "status": "completed",
        "output": "first\none\n",
        "exit_code": 0,
        "files_changed": ["a"],
        "peak_memory_mb": 7,
    }
    assert [(one["argv"][0], one["exit_code"], one["stderr"]) for one in result["commands"]] == [("sh", 0, ""), ("sh", 0, "aside\n")]
    assert (work.text(), work.text("stderr")) == ("first\none\n", "aside\n")
    assert "error" not in result


async def test_no_shell_reads_a_command(place: FolderSandbox) -> None:
    result = await done(work_of(place, ["echo", "$HOME; rm -rf *", "a b", ""]))
    assert result["output"] == "$HOME; rm -rf * a b \n"


async def test_a_job_without_commands_is_done_without_a_sandbox(place: FolderSandbox) -> None:
    work = work_of(place)
    result = await done(work)
    assert (result["status"], result["exit_code"], result["commands"], result["files_changed"]) == ("completed", 0, [], [])
    assert work.opened == 0


async def test_the_first_command_that_fails_is_the_last(place: FolderSandbox) -> None:
    outcome = await failed(work_of(place, ["sh", "-c", "echo before; touch made"], ["sh", "-c", "exit 3"], ["touch", "never"]))
    assert outcome.reason == "exit 3: command 2 of 3: sh -c exit 3"
    assert (outcome.result["status"], outcome.result["exit_code"], outcome.result["error"]) == ("failed", 3, outcome.reason)
    assert (outcome.result["output"], outcome.result["files_changed"]) == ("before\n", ["made"])
    assert len(outcome.result["commands"]) == 2


async def test_a_signal_is_a_failure_and_no_lack_of_memory(place: FolderSandbox) -> None:
    outcome = await failed(work_of(place, ["sh", "-c", "kill -9 $$"]))
    assert outcome.reason.startswith("signal SIGKILL: command 1 of 1")
    assert (outcome.result["exit_code"], outcome.result["commands"][0]["signal"]) == (None, "SIGKILL")


async def test_memory_that_ran_out_is_told_with_its_evidence(place: FolderSandbox) -> None:
    place.out_of_memory = {"greedy"}
    outcome = await DirectOps().run(work_of(place, ["true"], ["greedy"]))
    assert isinstance(outcome, RanOut)
    assert (outcome.evidence.source, outcome.peak_memory_mb, outcome.result["status"]) == ("fake", 7, "oom")


async def test_bytes_that_are_no_text_are_replaced(place: FolderSandbox) -> None:
    work = work_of(place, ["printf", r"a\000b\377c\303\251d\303"])
    assert (await done(work))["output"] == "a\ufffdb\ufffdcéd\ufffd" == work.text()


async def test_what_is_kept_of_the_output_is_bounded(place: FolderSandbox) -> None:
    commands = [["sh", "-c", "head -c 400000 /dev/zero | tr '\\0' x"] for _ in range(6)]
    work = work_of(place, *commands)
    result = await done(work)
    assert len(result["output"]) < 1024 * 1024 + 1000
    assert result["commands"][0]["stdout"].endswith("x\n[137856 more characters were not kept]\n")
    assert len(work.text()) == 2_400_000


async def test_files_that_are_new_different_or_gone_have_changed(place: FolderSandbox) -> None:
    for name in ("same", "gone", "different", "program"):
        (place.folder / name).write_text(name)
    script = "rm gone; echo x > different; mkdir -p d; echo y > d/new; chmod +x program; ln -s same link"
    assert (await done(work_of(place, ["sh", "-c", script])))["files_changed"] == ["d/new", "different", "gone", "link", "program"]


async def test_a_workspace_too_large_to_be_looked_at_fails_no_job(place: FolderSandbox) -> None:
    place.most = 100_000
    result = await done(work_of(place, ["sh", "-c", "head -c 200000 /dev/urandom > big"]))
    assert (result["status"], result["files_changed"], result["files_unknown"]) == ("completed", [], "The workspace is too large.")


@pytest.mark.parametrize("permissions", [{"deny": ["command(git push*)"]}, {"deny": ["*"]}, {"deny": ["command(git push*)"], "ask": ["*"]}])
async def test_a_denied_command_keeps_all_from_running_and_nobody_is_asked(place: FolderSandbox, permissions: dict[str, list[str]]) -> None:
    work = work_of(place, ["touch", "a"], ["git", "push", "origin"], **permissions)
    outcome = await failed(work)
    assert outcome.reason.startswith("denied: permissions.deny has ")
    assert (place.ran, work.asked, work.opened) == ([], [], 0)


async def test_only_allowed_commands_run(place: FolderSandbox) -> None:
    work = work_of(place, ["echo", "hi"], ["touch", "a"])
    work.allowance = replace(work.allowance, commands=(("echo *", "touch *"), ("echo *",)))
    outcome = await failed(work)
    assert outcome.reason == "denied: the command is not among the allowed commands: touch a"
    assert place.ran == []


async def test_a_job_asks_once_for_all_its_commands(place: FolderSandbox) -> None:
    commands = [["touch", "a"], ["touch", "b"]]
    work = work_of(place, *commands, ask=["*"])
    outcome = await DirectOps().run(work)
    assert outcome == Asks(("apr_commands",))
    assert work.asked == [("commands", "command", "touch a", {"commands": commands})]
    assert (place.ran, work.opened) == ([], 0)
    work.decisions["commands"] = Permit("allow", {"commands": commands}, approval_id="apr_commands")
    assert (await done(work))["files_changed"] == ["a", "b"]


async def test_a_denial_by_a_person_ends_the_job_without_effect(place: FolderSandbox) -> None:
    work = work_of(place, ["touch", "a"], ask=["command(touch *)"])
    work.decisions["commands"] = Permit("deny", {}, "Not today.")
    assert (await failed(work)).reason == "denied: Not today."
    assert place.ran == []


async def test_commands_are_run_as_a_person_edited_them(place: FolderSandbox) -> None:
    work = work_of(place, ["touch", "a"], ask=["*"])
    work.decisions["commands"] = Permit("allow", {"commands": [["touch", "b"]]}, approval_id="apr_commands")
    assert (await done(work))["files_changed"] == ["b"]


@pytest.mark.parametrize("edited", [{"commands": "touch b"}, {}, {"commands": [[]]}, {"commands": [["touch", 1]]}])
async def test_commands_that_were_edited_into_nonsense_are_not_run(place: FolderSandbox, edited: dict[str, Any]) -> None:
    work = work_of(place, ["touch", "a"], ask=["*"])
    work.decisions["commands"] = Permit("allow", edited, approval_id="apr_commands")
    assert (await failed(work)).reason.startswith("invalid: ")
    assert place.ran == []


async def test_editing_does_not_get_around_what_is_allowed(place: FolderSandbox) -> None:
    work = work_of(place, ["touch", "a"], ask=["*"])
    work.allowance = replace(work.allowance, commands=(("touch *",),))
    work.decisions["commands"] = Permit("allow", {"commands": [["rm", "-rf", "x"]]}, approval_id="apr_commands")
    assert (await failed(work)).reason.startswith("denied: ")
    assert place.ran == []
