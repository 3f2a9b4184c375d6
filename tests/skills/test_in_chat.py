"""What an agent has of its skills: it hears of them, loads them, runs their scripts, and is held to what they allow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, unique
from tests.skills.collection import CSV_PROFILE, UNIT_CONVERTER, Folder
from tests.skills.zips import zipped

from pointsman.skills.briefing import LONGEST_LINE, briefing
from pointsman.skills.rows import PinnedSkill


async def skill(caller: Caller, **fields: Any) -> str:
    """A skill of its own name."""
    name = unique("skill").lower().replace("_", "-")
    body = {"id": name, "name": name, "description": "For tests.", "instructions": "Do as told.", **fields}
    return (await caller.post("/v2/skills", body))["id"]


async def upload(caller: Caller, folder: Folder) -> str:
    files = {"file": ("skill.zip", zipped(folder), "application/zip")}
    answer = await caller.http.post("/v2/skills/import", files=files, params={"replace": "true"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def call(name: str, call_id: str = "c1", /, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id}


async def talk(caller: Caller, skills: list[str], *answers: list[dict[str, Any]], **config: Any) -> list[dict[str, Any]]:
    """A turn in which the model makes these calls, one answer after the other, and ends: what its tools said, in order."""
    turns = [*({"tool_calls": calls} for calls in answers), {"text": "Done."}]
    agent = await caller.agent(model="scripted:play", script={"turns": turns}, skills=skills, **config)
    answer = await caller.chat(agent, "Please.")
    assert (answer["status"], answer["content"]) == ("completed", "Done.")
    said = [event.data for event in await caller.replay(answer["run_id"]) if event.name == "tool.completed"]
    # Those of one answer are called at once, so they end in any order.
    return _in_order(answers, said)


def _in_order(answers: Sequence[list[dict[str, Any]]], said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered: list[dict[str, Any]] = []
    for calls in answers:
        results = {result["id"]: result for result in said[: len(calls)]}
        said = said[len(calls) :]
        ordered += [results[made["id"]] for made in calls]
    return ordered


def script(text: str, name: str = "go.py") -> list[dict[str, str]]:
    return [{"name": name, "content": text}]


async def ran(caller: Caller, text: str, *args: str, stdin: str = "") -> dict[str, Any]:
    """What a script of Python says of its end."""
    name = await skill(caller, scripts=script(text))
    (said,) = await talk(caller, [name], [call("run_skill_script", skill=name, script="scripts/go.py", args=list(args), stdin=stdin)])
    told = json.loads(said["content"])
    assert said["is_error"] == (told["exit_code"] != 0), said
    return told


async def test_an_agent_hears_of_its_skills_loads_one_and_runs_its_script(scene: Scene, caller: Caller) -> None:
    name = await upload(caller, UNIT_CONVERTER)
    loaded, converted = await talk(
        caller,
        [name],
        [call("load_skill", name=name)],
        [call("run_skill_script", skill=name, script="scripts/convert.py", args=["3", "mi", "km"])],
    )
    assert not loaded["is_error"]
    assert "scripts/convert.py VALUE FROM TO" in loaded["content"]
    assert "- scripts/convert.py" in loaded["content"]
    assert json.loads(converted["content"]) == {"exit_code": 0, "stdout": "4.82803\n", "stderr": ""}
    word = unique("seen")
    await caller.chat(await caller.agent(model="vllm:llama", skills=[name]), word)
    (asked,) = scene.asked(word)
    assert f"- {name}: Converts lengths" in asked["body"]["messages"][0]["content"]
    assert {"load_skill", "read_skill_file", "run_skill_script"} <= {tool["function"]["name"] for tool in asked["body"]["tools"]}


async def test_a_script_has_its_folder_its_modules_and_its_standard_input(caller: Caller) -> None:
    name = await upload(caller, CSV_PROFILE)
    read, binary, missing, profiled = await talk(
        caller,
        [name],
        [
            call("read_skill_file", "c1", skill=name, path="scripts/lib/columns.py"),
            call("read_skill_file", "c2", skill=name, path="assets/sample.csv"),
            call("read_skill_file", "c3", skill=name, path="../../etc/passwd"),
        ],
        [call("run_skill_script", skill=name, script="profile.py", stdin="a,b\n1,\n1,2\n")],
    )
    assert "def describe" in read["content"]
    assert (binary["is_error"], "no text" in binary["content"]) == (True, True)
    assert (missing["is_error"], "has no file" in missing["content"]) == (True, True)
    profile = json.loads(json.loads(profiled["content"])["stdout"])
    assert profile == {"a": {"distinct": 1, "empty": 0}, "b": {"distinct": 2, "empty": 1}}


LOOK = """
import json, os, socket
seen = {}
for path in ("/etc/shadow", "/proc/1/environ", "/root", "/home", "/work", "/var/lib", os.environ.get("PWD", "/") + "/../..", "SECRET"):
    try:
        seen[path] = os.listdir(path) if os.path.isdir(path) else open(path).read()
    except OSError as error:
        seen[path] = type(error).__name__
try:
    socket.create_connection(("127.0.0.1", PORT), timeout=2)
    seen["network"] = "reached"
except OSError as error:
    seen["network"] = type(error).__name__
seen["env"] = dict(os.environ)
seen["uid"] = os.getuid()
print(json.dumps(seen))
"""


async def test_a_script_cannot_read_the_hosts_files_or_reach_its_network(
    scene: Scene, caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("host") / "secret"
    secret.write_text("a secret of the host")
    port = scene.url.rpartition(":")[2].strip("/")
    told = await ran(caller, LOOK.replace("SECRET", str(secret)).replace("PORT", port))
    assert told["exit_code"] == 0, told
    seen = json.loads(told["stdout"])
    assert "a secret of the host" not in told["stdout"]
    assert "reached" not in seen["network"]
    assert not seen["/etc/shadow"].startswith("root:")
    assert not any(name.upper().startswith("POINTSMAN") for name in seen["env"])
    assert "POINTSMAN" not in seen["/proc/1/environ"]
    assert seen["uid"] != 0


async def test_a_script_that_does_not_end_is_killed_and_the_turn_goes_on(caller: Caller) -> None:
    told = await ran(caller, "import time\nprint('begun')\ntime.sleep(60)\n")
    assert told["exit_code"] is None
    assert told["stdout"] == "begun\n"
    assert "killed" in told["error"]


async def test_a_script_is_held_to_its_memory_and_its_output_is_cut_off(caller: Caller) -> None:
    told = await ran(caller, "b = bytearray(2**30)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint('all of it')\n")
    assert told["exit_code"] != 0
    assert "all of it" not in told["stdout"]
    told = await ran(caller, "print('x' * 2_000_000)\n")
    assert (told["exit_code"], told["cut_off"], len(told["stdout"])) == (0, True, 32_768)


async def test_a_script_that_fails_says_how(caller: Caller) -> None:
    told = await ran(caller, "import sys\nprint('why', file=sys.stderr)\nsys.exit(int(sys.argv[1]))\n", "3")
    assert (told["exit_code"], told["stderr"]) == (3, "why\n")
    name = await skill(caller, scripts=script("x", "data.txt"))
    unknown, unrunnable = await talk(
        caller,
        [name],
        [
            call("run_skill_script", "c1", skill=name, script="other.py"),
            call("run_skill_script", "c2", skill=name, script="data.txt"),
        ],
    )
    assert "Did you mean" in unknown["content"] or "There are" in unknown["content"]
    assert "#!" in unrunnable["content"]
    assert unknown["is_error"]
    assert unrunnable["is_error"]


async def test_a_call_that_an_active_skill_does_not_allow_is_refused_with_an_event_and_the_run_goes_on(caller: Caller) -> None:
    name = await skill(caller, allowed_tools=["memory(recall*)"], scripts=script("print('still')\n"))
    said = await talk(
        caller,
        [name],
        [call("current_time")],
        [call("load_skill", name=name)],
        [call("current_time"), call("run_skill_script", "c2", skill=name, script="go.py")],
        tools=[{"type": "builtin", "name": "current_time"}],
    )
    before, loaded, refused, script_ran = said
    assert not before["is_error"]
    assert "you may only call: memory(recall*)" in loaded["content"]
    assert refused["name"] == "current_time"
    assert refused["is_error"]
    assert f"the skill {name} is active and allows only memory(recall*)" in refused["content"]
    assert json.loads(script_ran["content"])["stdout"] == "still\n"


async def test_a_skill_is_active_from_the_next_answer_to_the_end_of_the_turn(caller: Caller) -> None:
    name = await skill(caller, allowed_tools=["think"])
    time = {"type": "builtin", "name": "current_time"}
    script_ = {
        "turns": [
            {"tool_calls": [call("load_skill", "c1", name=name), call("current_time", "c2")]},
            {"tool_calls": [call("current_time", "c3")]},
            {"text": "One."},
            {"tool_calls": [call("current_time", "c4")]},
            {"text": "Two."},
        ]
    }
    agent = await caller.agent(model="scripted:play", script=script_, skills=[name], tools=[time])
    first = await caller.chat(agent, "Please.", session_id=unique("ses"))
    second = await caller.chat(agent, "Again.", session_id=first["session_id"])
    results = [
        (event.data["id"], event.data["is_error"])
        for run in (first, second)
        for event in await caller.replay(run["run_id"])
        if event.name == "tool.completed" and event.data["name"] == "current_time"
    ]
    assert results == [("c2", False), ("c3", True), ("c4", False)]


async def test_a_run_keeps_its_versions_and_an_edited_skills_script_is_not_run(caller: Caller) -> None:
    name = await skill(caller, instructions="The old way.", scripts=script("print('old')\n"))
    calls = [
        {"tool_calls": [call("memory", "c0", action="remember", content="x")]},
        {"tool_calls": [call("load_skill", "c1", name=name), call("run_skill_script", "c2", skill=name, script="go.py")]},
        {"text": "Done."},
    ]
    asks = {"permissions": {"ask": ["memory"]}}
    agent = await caller.agent(model="scripted:play", script={"turns": calls}, skills=[name], worker_config=asks)
    paused = await caller.chat(agent, "Please.", user_id=unique("user"))
    assert paused["status"] == "paused"
    await caller.patch(f"/v2/skills/{name}", {"instructions": "The new way.", "scripts": script("print('new')\n")})
    await caller.post(f"/v2/approvals/{paused['approvals'][0]['id']}/approve", {})
    assert (await caller.ended(paused["run_id"]))["status"] == "completed"
    said = {event.data["id"]: event.data for event in await caller.replay(paused["run_id"]) if event.name == "tool.completed"}
    assert "The old way." in said["c1"]["content"]
    assert said["c2"]["is_error"]
    assert "was not run: this run began with version 1 of" in said["c2"]["content"]
    assert "is at version 2 now" in said["c2"]["content"]
    (again,) = await talk(caller, [name], [call("run_skill_script", skill=name, script="go.py")])
    assert json.loads(again["content"])["stdout"] == "new\n"


async def test_permissions_of_the_agent_hold_for_scripts_too(caller: Caller) -> None:
    name = await skill(caller, scripts=script("print(1)\n"))
    (refused,) = await talk(
        caller,
        [name],
        [call("run_skill_script", skill=name, script="go.py")],
        worker_config={"permissions": {"deny": ["run_skill_script"]}},
    )
    assert refused["is_error"]
    assert "denied" in refused["content"]


async def test_a_skill_that_is_not_there_is_refused_with_a_suggestion(caller: Caller) -> None:
    name = await skill(caller)
    body = {"name": "x", "template": "y", "config": {"model": "scripted:echo", "skills": [f"{name}x"]}}
    answer = await caller.http.post("/v2/agents", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "skill-unknown")
    assert answer.json()["errors"][0]["pointer"] == "/config/skills/0"
    assert f"Did you mean {name}?" in answer.json()["errors"][0]["message"]
    agent = await caller.agent(model="scripted:echo", skills=[name])
    answer = await caller.http.patch(f"/v2/agents/{agent}", json={"config": {"skills": [name, "none"]}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/config/skills/1")
    assert (await caller.get(f"/v2/agents/{agent}"))["config"]["skills"] == [name]


async def test_an_agent_whose_skill_is_gone_says_so_until_it_is_there_again(caller: Caller) -> None:
    name = await skill(caller)
    agent = await caller.agent(model="scripted:echo", skills=[name])
    assert (await caller.http.delete(f"/v2/skills/{name}")).status_code == 204
    answer = await caller.try_chat(agent, "Hello")
    assert (answer.status_code, answer.json()["code"]) == (409, "skill-missing")
    assert (await caller.http.patch(f"/v2/agents/{agent}", json={"name": "Renamed"})).status_code == 200
    await caller.post("/v2/skills", {"id": name, "name": name, "instructions": "Back."})
    assert (await caller.chat(agent, "Hello"))["status"] == "completed"


def test_a_line_of_the_prompt_is_about_a_hundred_tokens_at_most() -> None:
    for description in ("word " * 300, "字" * 1024, "🌍" * 500, "two\nlines"):
        text = briefing([PinnedSkill("a", "name", description, 1)])
        line = text.rpartition("\n")[2]
        assert line.startswith("- name: ")
        assert len(line.encode()) <= LONGEST_LINE
