"""The part of the demonstration in which a supervising team mends a bug: classified, approved, done in a sandbox, tested."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import resources
from typing import Any

from pointsman.cli.archives import packed
from pointsman.cli.output import show, style
from pointsman.cli.prompts import coloured
from pointsman.cli.speaking import Speaker
from pointsman.cli.working import output_of
from pointsman.client import Event, PointsmanClient
from pointsman.client.jobs import Job

Tell = Callable[[str], None]

_WORD_MS = 12
_LOCAL = "local"


class Workshop:
    """Plays it; `tell` takes a line, `scene` the title of what comes next."""

    def __init__(self, client: PointsmanClient, *, tell: Tell, scene: Tell) -> None:
        self._client = client
        self._tell = tell
        self._scene = scene
        self._request = _example("request.txt").strip()

    def play(self) -> None:
        """From the repository to the diff; where no isolation can be had here, only what is missing."""
        self._scene("A supervising team, and a small repository whose tests fail")
        for line in _example("repository/bill.py").splitlines():
            self._tell(line)
        health = self._client.targets.health(_LOCAL)
        if health["status"] != "healthy":
            self._tell(f"the target {_LOCAL} is {health['status']}: {health['detail']}")
            self._tell("without isolation nothing is run here: the team has nowhere to work, and the rest goes on")
            return
        self._tell(f"jobs run on the target {_LOCAL}, kept apart by {health['isolation']}")
        self._hire()
        run_id = self._ask()
        if run_id is not None:
            self._show_results(run_id)

    def _hire(self) -> None:
        for name in ("foreman", "fixer"):
            agent = json.loads(_example(f"{name}.json"))
            turns = [turn | {"delay_ms": _WORD_MS} if "text" in turn else turn for turn in agent["config"]["script"]["turns"]]
            self._client.agents.create({**agent, "config": {**agent["config"], "script": {"turns": turns}}})
        self._client.teams.create(json.loads(_example("team.json")))

    def _ask(self) -> str | None:
        """The run, once it has ended well."""
        self._scene("The request is classified, and a job goes out that asks before it changes a file")
        show(style("\nyou     ", "cyan", sys.stdout) + self._request)
        with resources.as_file(_folder() / "repository") as repository:
            workspace = packed(repository)
        body = {"message": self._request, "attachments": [workspace], "stream_verbosity": "full"}
        speaker = Speaker(live=True, talk=self._tell)
        for event in self._heard(self._client.stream_team("workshop", body), speaker):
            if event.name == "approval.requested":
                self._approve(event)
        if speaker.failure is not None:
            self._tell(f"the run failed: {speaker.failure.detail}")
            return None
        return speaker.run_id

    def _heard(self, events: Iterator[Event], speaker: Speaker) -> Iterator[Event]:
        """Events as they come, each told before it is handed on; what the job prints is set off from what is told of it."""
        printed = _Printed(self._tell)
        answering = False
        for event in events:
            text = output_of(event)
            if text is not None:
                printed.take(text)
                continue
            printed.end()
            if event.name == "message.delta" and not answering:
                answering = True
                show(style("\nforeman ", "green", sys.stdout), end="")
            speaker.take(event)
            yield event

    def _approve(self, event: Event) -> None:
        """By a key that may decide and nothing else, as a second person would have."""
        approval = self._client.approvals.read(event.data["id"])
        self._tell("nothing waits for that: no process, no sandbox, no connection. What is asked:")
        for line in _change(approval["tool_args"]):
            self._tell(coloured(line))
        key = self._client.keys.create({"name": "reviewer", "scopes": ["approvals:read", "approvals:decide"]})
        with ExitStack() as stack:
            stack.callback(self._client.keys.revoke, key["id"])
            reviewer = stack.enter_context(PointsmanClient(self._client.base_url, key["api_key"]))
            decided = reviewer.approvals.approve(approval["id"], note="That is the bug.")
        self._tell(f"the reviewer: {decided['status']}, “{decided['note']}”")

    def _show_results(self, run_id: str) -> None:
        run = self._client.runs.read(run_id)
        self._scene("What came of it: the tests before and after, and the change")
        for job_id in (run["supervisor"] or {"jobs": []})["jobs"]:
            self._show_job(self._client.jobs.read(job_id))
        self._tell(f"the run is {run['status']}, after {run['usage']['total_tokens'] if run['usage'] else 0} tokens of leader and worker")

    def _show_job(self, job: Job) -> None:
        result = job["result"] or {}
        commands: list[dict[str, Any]] = result.get("commands", [])
        for command in commands:
            self._tell(f"{' '.join(command['argv'])}: exit {command['exit_code']}")
        for line in str(result.get("diff", "")).splitlines():
            self._tell(coloured(line))
        attempts = ", ".join(f"{one['number']} {one['status']}" for one in job["attempts"])
        reason = f" ({job['last_failure_reason']})" if job["last_failure_reason"] else ""
        self._tell(f"job {job['status']}{reason}; attempts: {attempts}; {result.get('peak_memory_mb') or 'unknown'} MB of memory at most")
        if not commands or commands[-1]["exit_code"] != 0 or not result.get("diff"):
            self._tell("whatever the script says, the bug is NOT mended: what the job needs is missing here")


class _Printed:
    """What a job prints, line by line however it comes."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._rest = ""

    def take(self, text: str) -> None:
        """Another piece of it."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._tell(style(f"    │ {line}".rstrip(), "dim", sys.stdout))

    def end(self) -> None:
        """What stands in the last line, if it did not end."""
        if self._rest:
            self.take("\n")


def _change(args: dict[str, Any]) -> list[str]:
    """What an edit replaces, as a diff; anything else as it is."""
    if not {"path", "old", "new"} <= args.keys():
        return [json.dumps(args, ensure_ascii=False)]
    return [f"@@ {args['path']} @@", *(f"-{line}" for line in args["old"].splitlines()), *(f"+{line}" for line in args["new"].splitlines())]


def _folder() -> Any:
    return resources.files("pointsman.cli") / "examples" / "repair"


def _example(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")
