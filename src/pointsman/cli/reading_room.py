"""The part of the demonstration in which an agent answers from documents: uploaded, indexed, searched, cited, and calculated with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import resources
from typing import Any, cast

from pointsman.cli.casting import with_model
from pointsman.cli.output import show, style
from pointsman.cli.speaking import Speaker
from pointsman.client import Event, PointsmanClient
from pointsman.client.knowledge import File
from pointsman.skills.folders import PLAIN, pack_zip
from pointsman.skills.folders import File as SkillFile

Tell = Callable[[str], None]

_LOCAL = "local"
_AGENT = "desk"
_SKILL = "reordering"
_SESSION = "maren-orders"


class ReadingRoom:
    """Plays it; `tell` takes a line, `scene` the title of what comes next."""

    def __init__(self, client: PointsmanClient, model: str, *, tell: Tell, scene: Tell) -> None:
        self._client = client
        self._model = model
        self._tell = tell
        self._scene = scene
        self._conversation: dict[str, Any] = json.loads(_example("conversation.json"))

    def play(self) -> None:
        """From the documents to the answers; where no isolation can be had here, only what is missing."""
        self._scene("Three documents: uploaded, and read by a worker in a sandbox for each")
        health = self._client.targets.health(_LOCAL)
        if health["status"] != "healthy":
            self._tell(f"the target {_LOCAL} is {health['status']}: {health['detail']}")
            self._tell("files come from anybody, so without isolation none is read here, and no skill's script is run; the rest goes on")
            return
        files = [self._send(document) for document in sorted(_folder("documents").iterdir(), key=lambda path: path.name)]
        read = [self._follow(file) for file in files]
        if not all(read):
            self._tell("what could not be read cannot be answered from")
            return
        self._hire()
        answer, orders = self._conversation["turns"]
        self._scene(f"An agent that may search them is asked; {self._model} answers from what the search returned, and cites it")
        self._ask(answer["user"])
        self._scene(f"Its skill {_SKILL}: a script calculates in a sandbox with the rows that the search found")
        self._ask(orders["user"])

    def _send(self, document: Any) -> File:
        with document.open("rb") as opened:
            file = self._client.knowledge.upload(document.name, opened)
        self._tell(f"{document.name}: {file['size']} bytes are kept as {file['gcs_path']}")
        return file

    def _follow(self, file: File) -> bool:
        """Whether it was indexed; each state is told as the gateway's stream tells it."""
        for event in self._client.knowledge.events(file["file_id"]):
            file = cast("File", event.data)
            self._tell(
                style(f"  {file['original_filename']}: event {event.id}, {event.name}: {file['progress']['step']}", "dim", sys.stdout)
            )
        if file["failure"] is not None:
            self._tell(f"{file['original_filename']}: NOT indexed: {file['failure']['detail']}")
            return False
        self._tell(f"{file['original_filename']}: {file['knowledge_status']}, {file['chunks']} passages")
        return True

    def _hire(self) -> None:
        self._client.prompts.create({"id": _AGENT, "name": "The desk's assistant", "template": _example("prompt.md")})
        self._client.skills.import_zip(pack_zip(_SKILL, skill_files()))
        agent = json.loads(_example("agent.json"))
        self._client.agents.create(agent | {"config": with_model(agent["config"], self._model, self._conversation)})

    def _ask(self, question: str) -> None:
        show(style("\nmaren   ", "cyan", sys.stdout) + question)
        speaker = Speaker(live=True, talk=self._tell)
        for event in self._client.stream_chat(_AGENT, {"message": question, "session_id": _SESSION}):
            speaker.take(event)
            if event.name == "tool.completed":
                self._show_result(event)
        if speaker.failure is not None:
            raise speaker.failure

    def _show_result(self, event: Event) -> None:
        """What a search found, and how a script ended: as the tool returned it, whatever the model makes of it."""
        content = event.data["content"]
        if event.data["is_error"]:
            self._tell(f"{event.data['name']} failed: {content}")
        elif event.data["name"] == "knowledge_search":
            for place in dict.fromkeys(_place(passage) for passage in json.loads(content)):
                self._tell(style(f"  found in {place}", "dim", sys.stdout))
        elif event.data["name"] == "run_skill_script":
            self._tell(style(f"  the script ended with {json.loads(content)['exit_code']}", "dim", sys.stdout))


def skill_files() -> list[SkillFile]:
    """The skill's folder, as it lies in the package."""
    return [SkillFile(path, PLAIN, data) for path, data in _below(_folder(_SKILL), "")]


def _below(folder: Any, way: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        inner = f"{way}{path.name}"
        found += _below(path, f"{inner}/") if path.is_dir() else [(inner, path.read_bytes())]
    return found


def _place(passage: dict[str, Any]) -> str:
    page = f"page {passage['page']}" if "page" in passage else None
    return ", ".join(part for part in (passage["file"], page, passage.get("heading")) if part)


def _folder(name: str = "") -> Any:
    folder = resources.files("pointsman.cli") / "examples" / "knowledge"
    return folder / name if name else folder


def _example(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")
