"""A stream that outlives the gateway it began on."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.cli.cli_scene import CommandLine, running

from pointsman.client import Event, PointsmanClient, Transcript

WORDS = " ".join(f"word{number}" for number in range(80))


def test_a_stream_goes_on_when_the_gateway_was_killed_and_started_again(cli: CommandLine, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    data = tmp_path / "data"
    arguments = ("up", "--data-dir", str(data), "--port", port)
    with running(cli, *arguments) as first:
        client = PointsmanClient(first.url(), (data / "admin-key").read_text().strip())
        script = {"turns": [{"text": WORDS, "delay_ms": 25}]}
        client.agents.create({"id": "slow", "name": "Slow", "template": "x", "config": {"model": "scripted:script", "script": script}})
        transcript, events = Transcript(), list[Event]()
        stream = client.stream_chat("slow", {"message": "Go"})
        for event in stream:
            events.append(event)
            transcript.take(event)
            if len(events) == 12:
                first.stop(signal.SIGKILL)
                break
        with running(cli, *arguments):
            for event in stream:
                events.append(event)
                transcript.take(event)
        client.close()
    assert events[-1].name == "run.completed"
    assert events[-1].data["content"] == WORDS
    assert transcript.text == WORDS
    assert "message.reset" in [event.name for event in events]
    numbers = [event.id for event in events]
    assert numbers == sorted(set(numbers))
