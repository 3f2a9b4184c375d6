"""The demonstration, scene by scene, on a gateway that is thrown away afterwards."""

from __future__ import annotations

import json
import sys
import time
from importlib import resources
from itertools import count
from typing import Any

from pointsman.cli.casting import SCRIPT, find_model, with_model
from pointsman.cli.exits import CommandRefused
from pointsman.cli.output import show, style, table
from pointsman.cli.prompts import coloured
from pointsman.cli.reading_room import ReadingRoom
from pointsman.cli.runs import line_of
from pointsman.cli.speaking import Speaker
from pointsman.cli.throwaway import throwaway_gateway
from pointsman.cli.usage import show_report
from pointsman.cli.workshop import Workshop
from pointsman.client import Event, PointsmanClient, ProblemResponse

_SESSION = "dana-lid"
_CUT_AFTER = 12  # deltas
_ALLOWED = 3
_BUDGET = 2500  # tokens, which a few answers use up


def play(model: str | None, *, offline: bool) -> None:
    """Play all scenes; ends with the problem of the one that failed."""
    if model is not None and offline:
        raise CommandRefused("--model and --offline are both given.", hint="Give one of them.")
    began = time.monotonic()
    _scene("A gateway of its own, on an embedded PostgreSQL in a temporary directory")
    with throwaway_gateway() as client:
        _tell(f"ready after {time.monotonic() - began:.1f} s at {client.base_url}")
        _Play(client, SCRIPT if offline else model or find_model(client)).run()
        _tell("stopping it and removing its directory")
    show(style(f"\nThat was all of it, in {time.monotonic() - began:.0f} s. Now yours: pointsman up", "bold", sys.stdout))


class _Play:
    def __init__(self, client: PointsmanClient, model: str) -> None:
        self._client = client
        self._model = model
        self._prompt = example("prompt.md")
        self._conversation: dict[str, Any] = json.loads(example("conversation.json"))

    def run(self) -> None:
        self._load()
        runs = self._converse()
        self._show_events(runs)
        self._edit_and_roll_back()
        self._limit_a_key()
        self._use_up_a_budget()
        ReadingRoom(self._client, self._model, tell=_tell, scene=_scene).play()
        Workshop(self._client, tell=_tell, scene=_scene).play()
        self._count()

    def _load(self) -> None:
        _scene(f"A prompt with variables, and an agent on it that asks {self._model}")
        prompt = self._client.prompts.create({"id": "support", "name": "Customer support", "template": self._prompt})
        agent = json.loads(example("agent.json"))
        agent["config"] = with_model(agent["config"], self._model, self._conversation)
        self._client.agents.create(agent)
        for line in prompt["template"].splitlines()[:5]:
            _tell(line)
        _tell(f"… {len(prompt['template'].splitlines())} lines, version {prompt['version']}")

    def _converse(self) -> list[str]:
        _scene("A conversation, streamed; in its last answer the connection is cut and the stream taken up by event id")
        runs: list[str] = []
        turns = self._conversation["turns"]
        for turn in turns:
            show(style("\ndana    ", "cyan", sys.stdout) + turn["user"])
            show(style("support ", "green", sys.stdout), end="")
            speaker = self._turn(turn["user"], cut=turn is turns[-1])
            if speaker.failure is not None:
                _tell("`pointsman demo --offline` plays the script instead")
                raise speaker.failure
            runs.append(str(speaker.run_id))
        for memory in self._client.memories.list(user_id="dana"):
            _tell(f"remembered of dana: {memory['content']}")
        return runs

    def _turn(self, message: str, *, cut: bool) -> Speaker:
        speaker = Speaker(live=True, talk=_tell)
        body = {"message": message, "session_id": _SESSION, **{name: self._conversation[name] for name in ("user_id", "variables")}}
        events = self._client.stream_chat("support", body)
        deltas, last = 0, 0
        for event in events:
            speaker.take(event)
            last = event.id
            deltas += event.name == "message.delta"
            if cut and deltas == _CUT_AFTER:
                events.close()  # type: ignore[attr-defined]
                self._take_up(speaker, last)
                break
        return speaker

    def _take_up(self, speaker: Speaker, last: int) -> None:
        show(style(f" ⟪cut after event {last}; again from {last}⟫", "yellow", sys.stdout), end="")
        run_id = str(speaker.run_id)
        for event in self._client.runs.events(run_id, after=last, verbosity="events"):
            speaker.take(event)
        same = speaker.transcript.text == self._client.runs.read(run_id)["content"]
        _tell(f"both parts together are {'exactly' if same else 'NOT'} the answer that was stored")

    def _show_events(self, runs: list[str]) -> None:
        _scene("The events of the second turn, as any replica can replay them")
        for line in _folded(list(self._client.runs.events(runs[1], verbosity="full"))):
            _tell(line)

    def _edit_and_roll_back(self) -> None:
        edit = self._conversation["edit"]
        _scene("The prompt is edited: a new version, with the difference")
        self._client.prompts.put_label("support", "production", 1)
        self._client.prompts.update("support", {"template": self._prompt.replace(edit["replace"], edit["with"])})
        for line in self._client.prompts.diff("support")["diff"].splitlines():
            _tell(coloured(line))
        _scene("… and rolled back: version 3 has the text of version 1, and nothing is lost")
        self._client.prompts.rollback("support", 1)
        labels = {label["version"]: label["label"] for label in self._client.prompts.labels("support")}
        rows: list[dict[str, Any]] = [
            {**version, "label": labels.get(version["version"]), "lines": len(version["template"].splitlines())}
            for version in self._client.prompts.versions("support")
        ]
        table(rows, ["version", "created_at", "created_by", "label", "lines"])

    def _limit_a_key(self) -> None:
        _scene(f"A key that may ask {_ALLOWED} times an hour")
        key = self._client.keys.create({"name": "website", "scopes": ["agents:run"], "rate_limit": _ALLOWED})
        with PointsmanClient(self._client.base_url, key["api_key"]) as limited:
            for number in range(1, _ALLOWED + 2):
                try:
                    limited.keys.who_am_i()
                    _tell(f"request {number}: 200")
                except ProblemResponse as problem:
                    _tell(f"request {number}: {problem.status} {problem.title}, again in {problem.retry_after:.0f} s")
        self._client.keys.revoke(key["id"])

    def _use_up_a_budget(self) -> None:
        _scene(f"A user with {_BUDGET} tokens a day, of which each answer is reserved before the model is asked")
        whose = {"subject_type": "user", "subject_id": "erik", "unit": "tokens", "period": "day", "amount": _BUDGET}
        budget = self._client.budgets.create(whose)
        body = {"message": "Hello!", "user_id": "erik", "variables": self._conversation["variables"]}
        for number in count(1):
            refusal = self._refusal_of(body)
            left = self._client.budgets.read(budget["id"])["remaining"]
            _tell(f"chat {number}: {refusal or f'answered; {left} tokens are left'}")
            if refusal:
                break

    def _refusal_of(self, body: dict[str, Any]) -> str:
        """Why a chat was not answered; empty where it was."""
        try:
            last = list(self._client.stream_chat("support", body))[-1]
        except ProblemResponse as problem:
            return f"{problem.status}: {problem.detail}"
        return last.data["error"]["detail"] if last.name == "run.failed" else ""

    def _count(self) -> None:
        _scene("What it cost, and whether the log of changes is whole")
        show_report(self._client.usage.report({"group_by": "agent_id,model"}), "agent_id,model")
        verdict = self._client.audit.verify()
        state = "sound" if verdict["sound"] else "NOT SOUND"
        _tell(f"audit: {verdict['sealed'] + verdict['unsealed']} changes recorded, the chain is {state}")


def _folded(events: list[Event]) -> list[str]:
    """A line for each event, but one for many deltas in a row."""
    lines: list[str] = []
    deltas = [event for event in events if event.name == "message.delta"]
    for event in events:
        if event.name != "message.delta" or event is deltas[0]:
            lines.append(line_of(event))
        elif event is deltas[-1]:
            lines.append(f"{'…':>5}  {len(deltas) - 2} more message.delta")
            lines.append(line_of(event))
    return lines


def example(name: str) -> str:
    """The text of a file of the example."""
    return (resources.files("pointsman.cli") / "examples" / "support" / name).read_text(encoding="utf-8")


def _tell(line: str) -> None:
    show(f"  {line}")


_numbers = count(1)


def _scene(title: str) -> None:
    show(style(f"\n{next(_numbers)}. {title}", "bold", sys.stdout))
