"""Every noun's commands against a gateway that was started by `pointsman up`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.cli_scene import Scene
from tests.skills.collection import UNIT_CONVERTER
from tests.skills.zips import unzipped

SCRIPT = [{"text": "One."}, {"tool_calls": [{"name": "current_time"}]}, {"text": "It is late."}]


@pytest.fixture(scope="module")
def agent(scene: Scene) -> str:
    scene.cli.run("prompts", "create", "desk", "--file", "-", "--tag", "shop", text="You answer for {company}.\nBe brief.\n")
    body: dict[str, Any] = {
        "config": {"model": "scripted:script", "script": {"turns": SCRIPT}, "tools": [{"type": "builtin", "name": "current_time"}]}
    }
    scene.cli.run("agents", "create", "desk", "--prompt", "desk", "--file", "-", text=json.dumps(body))
    return "desk"


def test_a_prompt_is_edited_compared_labelled_rolled_back_and_deleted(scene: Scene) -> None:
    cli = scene.cli
    cli.run("prompts", "create", "p1", "--template", "Hello {name}.", "--description", "A greeting")
    assert json.loads(cli.run("prompts", "edit", "p1", "--template", "Good day, {name}.", "--json").stdout)["version"] == 2
    assert "nothing changed" in cli.run("prompts", "edit", "p1", "--template", "Good day, {name}.").stderr
    diff = cli.run("prompts", "diff", "p1").stdout
    assert "-Hello {name}." in diff
    assert "+Good day, {name}." in diff
    cli.run("prompts", "label", "p1", "production", "1")
    assert "production" in cli.run("prompts", "versions", "p1").stdout
    rendered = cli.run("prompts", "render", "p1", "--label", "production", "--var", "name=Dana", "--var", "extra=1")
    assert rendered.stdout == "Hello Dana.\n"
    assert "unused: extra" in rendered.stderr
    cli.run("prompts", "rollback", "p1", "1")
    assert "Hello {name}." in cli.run("prompts", "show", "p1").stdout
    assert json.loads(cli.run("prompts", "show", "p1", "--version", "2", "--json").stdout)["template"] == "Good day, {name}."
    cli.run("prompts", "label", "p1", "production", "--delete")
    cli.run("prompts", "delete", "p1")
    assert "error: " in cli.run("prompts", "show", "p1", expect=4).stderr
    assert "p1" not in cli.run("prompts", "list").stdout
    assert "p1" in cli.run("prompts", "list", "--all").stdout


def test_a_skill_is_validated_imported_changed_exported_and_deleted(scene: Scene, tmp_path: Path) -> None:
    cli, folder = scene.cli, tmp_path / "unit-converter"
    for path, content in UNIT_CONVERTER.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        (folder / path).chmod(UNIT_CONVERTER.mode(path))
    assert "is a valid skill of 2 files" in cli.run("skills", "validate", str(folder)).stderr
    assert "imported skill unit-converter, version 1" in cli.run("skills", "import", str(folder)).stderr
    assert "version 2" in cli.run("skills", "edit", "unit-converter", "--category", "maths").stderr
    assert "unit-converter" in cli.run("skills", "list", "--category", "maths").stdout
    assert "scripts/convert.py" in cli.run("skills", "show", "unit-converter").stdout
    cli.run("skills", "export", "unit-converter", "--version", "1", "--out", str(tmp_path / "old.zip"))
    back = unzipped((tmp_path / "old.zip").read_bytes(), tmp_path / "back")
    assert {path: (back / path).read_bytes() for path in UNIT_CONVERTER.files} == UNIT_CONVERTER.files
    assert "version 3" in cli.run("skills", "import", str(tmp_path / "old.zip"), "--replace").stderr
    cli.run("skills", "create", "tone", "--instructions", "Be brief.", "--allow", "current_time")
    assert json.loads(cli.run("skills", "show", "tone", "--json").stdout)["allowed_tools"] == ["current_time"]
    cli.run("skills", "delete", "tone")
    (folder / "SKILL.md").write_text("# No frontmatter\n")
    assert "frontmatter" in cli.run("skills", "validate", str(folder), expect=2).stderr


def test_an_agent_is_listed_shown_changed_and_deleted(scene: Scene, agent: str) -> None:
    cli = scene.cli
    assert agent in cli.run("agents", "list").stdout
    cli.run("agents", "create", "echo", "--model", "scripted:echo", "--template", "Repeat.")
    cli.run("agents", "edit", "echo", "--set", "config.num_history_runs=7", "--name", "Echo")
    shown = json.loads(cli.run("agents", "show", "echo", "--json").stdout)
    assert shown["name"] == "Echo"
    assert shown["config"]["num_history_runs"] == 7
    refused = cli.run("agents", "edit", "echo", "--set", "config.modell=x", expect=2).stderr
    assert "/config/modell" in refused
    cli.run("agents", "delete", "echo")
    cli.run("agents", "show", "echo", expect=4)


def test_a_team_is_made_staffed_shown_and_deleted(scene: Scene, agent: str) -> None:
    cli = scene.cli
    cli.run("agents", "create", "writer", "--model", "scripted:echo", "--template", "Write.")
    cli.run("agents", "create", "critic", "--model", "scripted:echo", "--template", "Judge.")
    cli.run("teams", "create", "news", "--leader", agent, "--member", "writer:prose")
    assert "writer:prose" in cli.run("teams", "list", "--agent", "writer").stdout
    assert "as critic" in cli.run("teams", "add", "news", "critic", "--role", "critic", "--order", "0").stderr
    shown = json.loads(cli.run("teams", "show", "news", "--json").stdout)
    assert [seat["agent_id"] for seat in shown["agents"]] == [agent, "critic", "writer"]
    assert "critic" in cli.run("teams", "show", "news").stdout
    assert "leads the team news" in cli.run("teams", "add", "news", "critic", "--role", "leader", expect=5).stderr
    cli.run("teams", "remove", "news", "critic")
    lead = {"turns": [{"tool_calls": [{"name": "delegate_to_writer", "args": {"task": "Write it."}}]}, {"text": "Ready: {tool_result}"}]}
    body = json.dumps({"config": {"model": "scripted:lead", "script": lead}})
    cli.run("agents", "create", "editor", "--template", "Edit.", "--file", "-", text=body)
    cli.run("teams", "edit", "news", "--leader", "editor", "--member", "writer:prose")
    done = cli.run("teams", "run", "news", "Go.")
    assert done.stdout == "Ready: Write it.\n"
    assert "writer: Write it." in done.stderr
    lines = [json.loads(line) for line in cli.run("teams", "run", "news", "Go.", "--json").stdout.splitlines()]
    assert {line["data"].get("member") for line in lines} == {None, "writer"}
    run_id = cli.run("teams", "run", "news", "Go.", "--background").stdout.strip()
    assert "Ready: Write it." in cli.run("runs", "events", run_id).stdout
    cli.run("teams", "edit", "news", "--mode", "supervisor", "--set", "description=For the news")
    assert json.loads(cli.run("teams", "show", "news", "--json").stdout)["mode"] == "supervisor"
    cli.run("teams", "delete", "news")
    cli.run("teams", "show", "news", expect=4)


def test_a_chat_prints_the_answer_alone_on_standard_output(scene: Scene, agent: str) -> None:
    done = scene.cli.run("chat", agent, "Hello", "--var", "company=Acme", "--session", "s-one", "--user", "dana")
    assert done.stdout == "One.\n"
    assert "tokens" in done.stderr
    second = scene.cli.run("chat", agent, "-", "--var", "company=Acme", "--session", "s-one", "--user", "dana", text="What time is it?")
    assert second.stdout == "It is late.\n"
    assert "current_time(" in second.stderr
    assert "s-one" in scene.cli.run("sessions", "list", "--user", "dana").stdout
    messages = json.loads(scene.cli.run("sessions", "show", "s-one", "--json").stdout)
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    assert "It is late." in scene.cli.run("sessions", "show", "s-one").stdout
    scene.cli.run("sessions", "delete", "s-one", expect=2)
    scene.cli.run("sessions", "delete", "s-one", "--yes")
    scene.cli.run("sessions", "show", "s-one", expect=4)


def test_a_chat_as_json_prints_a_line_for_each_event(scene: Scene, agent: str) -> None:
    lines = [json.loads(line) for line in scene.cli.run("chat", agent, "Hello", "--var", "company=Acme", "--json").stdout.splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["run.started", "run.completed"]
    run_id = lines[0]["data"]["run_id"]
    replayed = scene.cli.run("runs", "events", run_id, "--verbosity", "events", "--json").stdout.splitlines()
    assert [json.loads(line) for line in replayed] == lines
    assert "run.completed" in scene.cli.run("runs", "events", run_id, "--after", str(lines[-1]["id"] - 1)).stdout
    assert run_id in scene.cli.run("runs", "list", "--agent", agent).stdout
    assert json.loads(scene.cli.run("runs", "show", run_id, "--json").stdout)["content"] == "One."
    assert (
        "has ended" in scene.cli.run("runs", "cancel", run_id, expect=5).stderr
        or "is completed" in scene.cli.run("runs", "cancel", run_id, expect=5).stderr
    )


def test_a_missing_variable_and_a_failing_model_end_with_different_codes(scene: Scene, agent: str) -> None:
    assert "company" in scene.cli.run("chat", agent, "Hello", expect=2).stderr
    failing = {"config": {"model": "scripted:script", "script": {"turns": [{"error": {"status": 500, "message": "upstream is down"}}]}}}
    scene.cli.run("agents", "create", "failing", "--template", "x", "--file", "-", text=json.dumps(failing))
    done = scene.cli.run("chat", "failing", "Hello", expect=8)
    assert "error: " in done.stderr
    assert done.stdout == ""


def test_memories_are_told_listed_corrected_and_forgotten(scene: Scene, agent: str) -> None:
    cli = scene.cli
    memory = json.loads(cli.run("memories", "create", "Likes tea.", "--user", "eve", "--agent", agent, "--json").stdout)
    cli.run("memories", "edit", memory["id"], "Likes green tea.")
    assert "Likes green tea." in cli.run("memories", "list", "--user", "eve").stdout
    cli.run("memories", "delete", memory["id"], "--yes")
    assert json.loads(cli.run("memories", "list", "--user", "eve", "--json").stdout) == []


def test_a_key_is_made_limited_rotated_and_revoked(scene: Scene) -> None:
    cli = scene.cli
    made = cli.run("keys", "create", "website", "--scope", "prompts:read", "--owner", "acme", "--expires-in", "1d")
    secret = made.stdout.strip()
    assert secret.startswith("pm_")
    assert secret not in made.stderr
    with_it = cli.with_environment(POINTSMAN_API_KEY=secret)
    me = json.loads(with_it.run("keys", "whoami", "--json").stdout)
    with_it.run("prompts", "list")
    assert "error: " in with_it.run("agents", "list", expect=3).stderr
    successor = cli.run("keys", "rotate", str(me["id"]), "--overlap", "0").stdout.strip()
    number = json.loads(cli.with_environment(POINTSMAN_API_KEY=successor).run("keys", "whoami", "--json").stdout)["id"]
    cli.run("keys", "revoke", str(number))
    listed = json.loads(cli.run("keys", "list", "--owner", "acme", "--json").stdout)
    assert number not in [key["id"] for key in listed]
    listed = json.loads(cli.run("keys", "list", "--owner", "acme", "--all", "--json").stdout)
    assert {me["id"], number} == {key["id"] for key in listed}


def test_usage_is_a_table_csv_or_json(scene: Scene, agent: str) -> None:
    scene.cli.run("chat", agent, "Hello", "--var", "company=Acme", "--session", "counted")
    table = scene.cli.run("usage", "--group-by", "session_id").stdout
    assert "counted" in table
    assert "TOTAL" in table.splitlines()[-1]
    assert scene.cli.run("usage", "-g", "agent_id", "--csv").stdout.startswith("agent_id,prompt_tokens,")
    report = json.loads(scene.cli.run("usage", "-g", "model", "--session", "counted", "--json").stdout)
    assert report["total"]["calls"] == 1
    assert "group_by" in scene.cli.run("usage", "-g", "colour", expect=2).stderr


def test_models_and_the_log_of_changes_are_shown(scene: Scene, agent: str) -> None:
    assert "OPENAI_API_KEY" in scene.cli.run("models").stdout
    entries = json.loads(scene.cli.run("audit", "list", "--type", "agent", "--id", agent, "--json").stdout)
    assert [entry["action"] for entry in entries] == ["agent.created"]
    assert scene.cli.run("audit", "verify").stdout == "sound\n"


def test_a_wrong_key_is_told_apart_from_no_gateway(scene: Scene) -> None:
    assert "hint: " in scene.cli.with_environment(POINTSMAN_API_KEY="pm_wrong").run("prompts", "list", expect=3).stderr


def test_budgets_are_made_listed_shown_changed_and_deleted(scene: Scene, agent: str) -> None:
    cli = scene.cli
    made = json.loads(cli.run("budgets", "create", "1000", "--for", f"agent:{agent}", "--id", "b1", "--period", "day", "--json").stdout)
    assert (made["amount"], made["unit"], made["remaining"]) == (1000, "tokens", 1000)
    cli.run("budgets", "create", "0.5", "--for", "tenant:acme", "--unit", "cost", "--id", "b2", "--name", "Acme's")
    assert "b1" in cli.run("budgets", "list", "--of", "agent").stdout
    assert "Acme's" in cli.run("budgets", "show", "b2").stdout
    cli.run("budgets", "edit", "b1", "--amount", "2000")
    assert json.loads(cli.run("budgets", "show", "b1", "--json").stdout)["amount"] == 2000
    assert "--for" in cli.run("budgets", "create", "5", "--for", "acme", expect=2).stderr
    cli.run("budgets", "edit", "b1", expect=2)
    for budget in ("b1", "b2"):
        cli.run("budgets", "delete", budget, "--yes")
    assert json.loads(cli.run("budgets", "list", "--json").stdout) == []
    assert len(json.loads(cli.run("budgets", "list", "--all", "--json").stdout)) == 2


def test_a_user_is_exported_to_a_file_and_erased_with_its_id(scene: Scene, agent: str, tmp_path: Path) -> None:
    cli, out = scene.cli, tmp_path / "leaver.ndjson"
    with scene.client() as client:
        client.chat(agent, {"message": "goodbye", "user_id": "leaver", "variables": {"company": "us"}})
    assert "without_export" in cli.run("users", "erase", "leaver", "--yes", expect=5).stderr
    cli.run("users", "export", "leaver", "--out", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    *lines, end = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"session", "message", "run", "usage"}
    assert "cannot be made" in cli.run("users", "export", "leaver", "--out", str(out), expect=2).stderr
    assert "Add --yes" in cli.run("users", "erase", "leaver", "--export-id", end["export_id"], expect=2).stderr
    erased = json.loads(cli.run("users", "erase", "leaver", "--export-id", end["export_id"], "--yes", "--json").stdout)
    assert erased["status"] == "completed"
    assert erased["counts"]["usage"] == sum(line["kind"] == "usage" for line in lines)
    assert json.loads(cli.run("sessions", "list", "--user", "leaver", "--json").stdout) == []
    assert "erased nobody" in cli.run("tenants", "erase", "nobody", "--without-export", "--yes").stderr


def test_an_mcp_server_is_added_inspected_approved_and_removed(scene: Scene) -> None:
    cli = scene.cli
    assert "next: pointsman mcp inspect crm" in cli.run("mcp", "add", "crm", "https://crm.invalid/mcp", "--header", "X-Team:blue").stderr
    assert "new" in cli.run("mcp", "list").stdout
    assert json.loads(cli.run("mcp", "show", "crm", "--json").stdout)["headers"] == {"X-Team": "blue"}
    assert "no public address" in cli.run("mcp", "inspect", "crm", expect=8).stderr
    assert "Nothing of crm waits" in cli.run("mcp", "approve", "crm", "--yes", expect=2).stderr
    assert "NAME:VALUE" in cli.run("mcp", "add", "x", "https://crm.invalid/mcp", "--header", "blue", expect=2).stderr
    cli.run("mcp", "remove", "crm", "--yes")
    assert "crm" not in cli.run("mcp", "list").stdout
