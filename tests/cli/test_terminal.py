"""What a person in front of a terminal sees and types."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.cli_scene import CommandLine, Scene
from tests.cli.terminal import terminal


def test_the_admin_key_is_shown_at_the_very_first_start_only(cli: CommandLine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with terminal(cli, "up", "--data-dir", str(data), "--port", "0") as first:
        first.wait_for("Ctrl-C stops it")
        assert (data / "admin-key").read_text().strip() in first.said
        first.type("\x03")
        assert first.process.wait(30) == 0
    with terminal(cli, "up", "--data-dir", str(data), "--port", "0") as second:
        second.wait_for("Ctrl-C stops it")
        assert (data / "admin-key").read_text().strip() not in second.said


def test_a_conversation_keeps_one_session(scene: Scene) -> None:
    script = {"turns": [{"text": "First \x1b[2J answer."}, {"text": "Second answer."}]}
    body = {"config": {"model": "scripted:script", "script": script}}
    scene.cli.run("agents", "create", "talker", "--template", "x", "--file", "-", text=json.dumps(body))
    with terminal(scene.cli, "chat", "talker") as conversation:
        conversation.wait_for("you> ")
        conversation.type("Hello\n")
        conversation.wait_for("you> ", 2)
        assert "answer." in conversation.said
        assert "\x1b[2J" not in conversation.said  # what a model says must not steer the terminal
        conversation.type("And now?\n")
        conversation.wait_for("you> ", 3)
        assert "Second answer." in conversation.said
        conversation.type("\x04")
        assert conversation.process.wait(10) == 0
    session = conversation.said.partition("session ")[2].split()[0]
    messages = json.loads(scene.cli.run("sessions", "show", session, "--json").stdout)
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2


def test_ctrl_c_cancels_the_answer_and_not_the_conversation(scene: Scene) -> None:
    script = {"turns": [{"text": "word " * 500, "delay_ms": 50}]}
    body = {"config": {"model": "scripted:script", "script": script}}
    scene.cli.run("agents", "create", "talkative", "--template", "x", "--file", "-", text=json.dumps(body))
    with terminal(scene.cli, "chat", "talkative", "--session", "stopped") as conversation:
        conversation.wait_for("you> ")
        conversation.type("Go on\n")
        conversation.wait_for("word word")
        conversation.type("\x03")
        conversation.wait_for("you> ", 2)
        assert "cancelled run" in conversation.said
        conversation.type("\n")
        assert conversation.process.wait(10) == 0
    (run,) = json.loads(scene.cli.run("runs", "list", "--session", "stopped", "--json").stdout)
    assert run["status"] == "cancelled"
