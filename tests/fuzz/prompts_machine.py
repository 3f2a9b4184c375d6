"""Prompts against a model of them: a dict of what every version said, where each label points, and whether the prompt is there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.fuzz.calls import Answer, Calls

_EXAMPLES = itertools.count()
_PARTS = st.lists(st.sampled_from(("Hello ", "{who}", "{what}", "{", "}", "{{who}}", " ä\n", "{1}")), min_size=1, max_size=5).map(tuple)
_TAGS = st.lists(st.sampled_from(("red", "blue", "support")), max_size=2, unique=True).map(tuple)
_ids = st.sampled_from(("a", "b", "B.c-d_e"))
_labels = st.sampled_from(("production", "staging"))
_versions = st.integers(1, 6)
_NAMED = {"{who}": "who", "{what}": "what", "{{who}}": "who"}


@dataclass(frozen=True)
class Said:
    """One version."""

    name: str
    parts: tuple[str, ...]
    description: str | None
    tags: tuple[str, ...]

    @property
    def template(self) -> str:
        return "".join(self.parts)

    def wire(self) -> dict[str, Any]:
        return {"name": self.name, "template": self.template, "description": self.description, "tags": list(self.tags)}


_saids = st.builds(Said, st.sampled_from(("one", "two")), _PARTS, st.sampled_from((None, "", "about")), _TAGS)


@dataclass
class Modelled:
    """A prompt that was made."""

    versions: list[Said]
    labels: dict[str, int] = field(default_factory=dict[str, int])
    is_active: bool = True

    @property
    def newest(self) -> Said:
        return self.versions[-1]


class PromptsMachine(RuleBasedStateMachine):
    """Bound to a gateway by `calls`; each example has ids of its own."""

    calls: ClassVar[Calls]

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"machine{next(_EXAMPLES)}-"
        self._made: dict[str, Modelled] = {}

    @rule(name=_ids, said=_saids)
    def create(self, name: str, said: Said) -> None:
        answer = self._ask("POST", "", said.wire() | {"id": self._prefix + name})
        known = self._made.get(name)
        if known is None:
            known = self._made[name] = Modelled([])
        elif known.is_active:
            assert (answer.status, answer.code) == (409, "prompt-exists")
            return
        known.versions.append(said)
        known.is_active = True
        assert answer.status == 201
        self._is_newest(answer, name)

    @rule(name=_ids, said=_saids, fields=st.sets(st.sampled_from(("name", "template", "description", "tags"))))
    def patch(self, name: str, said: Said, fields: set[str]) -> None:
        answer = self._ask("PATCH", f"/{name}", {field: value for field, value in said.wire().items() if field in fields})
        if (known := self._active(name, answer)) is None:
            return
        kept = {"parts": said.parts if "template" in fields else known.newest.parts}
        kept |= {field: getattr(said if field in fields else known.newest, field) for field in ("name", "description", "tags")}
        self._continue(known, replace(known.newest, **kept))
        self._is_newest(answer, name)

    @rule(name=_ids, version=_versions)
    def roll_back(self, name: str, version: int) -> None:
        answer = self._ask("POST", f"/{name}/rollback", {"version": version})
        if (known := self._active(name, answer)) is None or not self._has(known, version, answer):
            return
        self._continue(known, known.versions[version - 1])
        self._is_newest(answer, name)

    @rule(name=_ids)
    def delete(self, name: str) -> None:
        answer = self._ask("DELETE", f"/{name}")
        if name not in self._made:
            assert (answer.status, answer.code) == (404, "prompt-not-found")
            return
        self._made[name].is_active = False
        assert answer.status == 204

    @rule(name=_ids, label=_labels, version=_versions)
    def put_label(self, name: str, label: str, version: int) -> None:
        answer = self._ask("PUT", f"/{name}/labels/{label}", {"version": version})
        if (known := self._active(name, answer)) is None or not self._has(known, version, answer):
            return
        known.labels[label] = version
        assert (answer.status, answer.body["label"], answer.body["version"]) == (200, label, version)

    @rule(name=_ids, label=_labels)
    def delete_label(self, name: str, label: str) -> None:
        answer = self._ask("DELETE", f"/{name}/labels/{label}")
        if (known := self._active(name, answer)) is not None:
            known.labels.pop(label, None)
            assert answer.status == 204

    @rule(name=_ids, who=st.sampled_from((None, "Ann", "{what}", 7, ["x"])), chosen=st.one_of(st.none(), _labels, _versions))
    def render(self, name: str, who: Any, chosen: str | int | None) -> None:
        choice = {} if chosen is None else {"label" if isinstance(chosen, str) else "version": chosen}
        answer = self._ask("POST", f"/{name}/render", {"variables": {"who": who, "spare": 1}, **choice})
        if (known := self._active(name, answer)) is None:
            return
        version = known.labels.get(chosen, 0) if isinstance(chosen, str) else chosen or len(known.versions)
        if not self._has(known, version, answer):
            return
        said = known.versions[version - 1]
        filled = _filled(said.parts, {"who": who})
        asked = list(dict.fromkeys(_NAMED[part] for part in said.parts if part in _NAMED))
        assert answer.body["text"] == filled
        assert answer.body["missing"] == [variable for variable in asked if variable != "who" or who is None]
        assert answer.body["unused"] == [variable for variable in ("who", "spare") if variable not in asked]
        assert answer.body["version"] == version

    @rule(name=_ids, old=_versions, new=_versions)
    def compare(self, name: str, old: int, new: int) -> None:
        answer = self._ask("GET", f"/{name}/diff?from={old}&to={new}")
        if (known := self._active(name, answer)) is None or not self._has(known, max(old, new), answer):
            return
        before, after = known.versions[old - 1].wire(), known.versions[new - 1].wire()
        fields = {field for field in ("name", "description", "tags") if before[field] != after[field]}
        assert answer.body["changes"].keys() == fields
        assert (answer.body["diff"] == "") is (before["template"] == after["template"])

    @invariant()
    def every_prompt_reads_as_the_model_has_it(self) -> None:
        for name, known in self._made.items():
            answer = self._ask("GET", f"/{name}")
            if self._active(name, answer) is None:
                continue
            self._is_newest(answer, name)
            kept = self.calls.all_of(f"/v2/prompts/{self._prefix}{name}/versions", limit=2)
            assert [version["version"] for version in kept] == list(range(len(known.versions), 0, -1))
            assert [_wire_of(version) for version in reversed(kept)] == [said.wire() for said in known.versions]
            labels = self.calls.all_of(f"/v2/prompts/{self._prefix}{name}/labels", limit=1)
            assert {label["label"]: label["version"] for label in labels} == known.labels
            assert [label["label"] for label in labels] == sorted(known.labels)

    @invariant()
    def lists_hold_each_prompt_once(self) -> None:
        for tag in (None, "red"):
            listed = self.calls.all_of("/v2/prompts", limit=1, q=self._prefix, tag=tag, include_inactive=True)
            wanted = sorted(self._prefix + name for name, known in self._made.items() if tag is None or tag in known.newest.tags)
            assert [prompt["id"] for prompt in listed] == wanted
        active = self.calls.all_of("/v2/prompts", limit=2, q=self._prefix)
        assert [prompt["id"] for prompt in active] == sorted(self._prefix + name for name, known in self._made.items() if known.is_active)

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self.calls.ask(method, f"/v2/prompts{path.replace('/', '/' + self._prefix, 1)}", body)

    def _active(self, name: str, answer: Answer) -> Modelled | None:
        known = self._made.get(name)
        if known is None or not known.is_active:
            assert (answer.status, answer.code) == (404, "prompt-not-found")
            return None
        return known

    def _has(self, known: Modelled, version: int, answer: Answer) -> bool:
        if 1 <= version <= len(known.versions):
            assert answer.status == 200, answer.body
            return True
        assert (answer.status, answer.code) == (404, "prompt-version-not-found" if version else "prompt-label-not-found")
        return False

    def _continue(self, known: Modelled, said: Said) -> None:
        if said.wire() != known.newest.wire():
            known.versions.append(said)

    def _is_newest(self, answer: Answer, name: str) -> None:
        known = self._made[name]
        assert answer.status < 300
        assert (answer.body["id"], answer.body["version"]) == (self._prefix + name, len(known.versions))
        assert _wire_of(answer.body) == known.newest.wire()
        assert answer.body["is_active"] is known.is_active


def _wire_of(body: dict[str, Any]) -> dict[str, Any]:
    return {field: body[field] for field in ("name", "template", "description", "tags")}


def _filled(parts: tuple[str, ...], values: dict[str, Any]) -> str:
    told = {name: value if isinstance(value, str) else '["x"]' if isinstance(value, list) else str(value) for name, value in values.items()}
    given = {name: told[name] for name, value in values.items() if value is not None}
    return "".join(
        part.replace(f"{{{_NAMED[part]}}}", given.get(_NAMED[part], f"{{{_NAMED[part]}}}")) if part in _NAMED else part for part in parts
    )
