"""The ids of things that exist: what was made to begin with, and what answers name; generated requests are pointed at them."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import httpx
from requests.structures import CaseInsensitiveDict
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from tests.fuzz.principals import MARKER, RIVAL, TENANT, Company, Principal
from tests.fuzz.scene import Scene

AnyCase: TypeAlias = "Case[Any]"

_KEPT = 60
_AIMED = 0.7  # of the values that could name something that exists; the others stay as they were generated
_LONGEST_PAUSE_MS = 2
_MODELS = ("scripted:echo", "scripted:echo", "openai:gpt-5-mini")
# What a field is called where it does not say the noun itself.
_NOUNS = {"prompt_service_id": "prompts", "prompt_label": "labels", "from": "versions", "to": "versions", "version": "versions"}


class Stock:
    """Ids by noun, the newest few of each."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ids: defaultdict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def learn_problem(self, answer: Any) -> None:
        """Note the code of a problem, which has a page."""
        if isinstance(answer, dict) and "code" in answer:
            self._note("problems", answer["code"])

    def learn(self, template: str, answer: Any) -> None:
        """Note the ids that an answer of JSON names."""
        if not isinstance(answer, dict):
            return
        told = cast("dict[str, Any]", answer)
        noun = _nouns(template)[-1]
        cursor = told.get("next_cursor")
        if cursor:
            self._note(f"cursor {template}", cursor)
        for item in (told, *_dicts(told.get("items"))):
            for name, value in item.items():
                if name == "id":
                    self._note(noun, value)
                elif name + "s" == noun or name.endswith("_id"):
                    self._note(_noun_of(name), value)

    def aim(self, case: AnyCase, principal: Principal) -> None:
        """Point the valid parts of a request at things that exist; what was made wrong on purpose stays wrong."""
        positive = {location for location in ParameterLocation if not _is_negative(case, location)}
        if ParameterLocation.PATH in positive and case.path_parameters:
            case.path_parameters = {name: self._aimed(_before(case.path, name), value) for name, value in case.path_parameters.items()}
        if ParameterLocation.QUERY in positive and case.query:
            case.query = dict(self._query(case))
        if ParameterLocation.HEADER in positive:
            case.headers = CaseInsensitiveDict(self._headers(case, principal))
        if ParameterLocation.BODY in positive and isinstance(case.body, dict):
            case.body = self._body(case, cast("dict[str, Any]", case.body))

    def _query(self, case: AnyCase) -> Iterator[tuple[str, Any]]:
        for name, value in case.query.items():
            if name != "cursor":
                yield name, self._aimed(_noun_of(name), value)
            elif self._ids[f"cursor {case.path}"] and self._rng.random() < _AIMED:
                yield name, self._rng.choice(self._ids[f"cursor {case.path}"])
            elif self._rng.random() > _AIMED:
                yield name, value

    def _headers(self, case: AnyCase, principal: Principal) -> Iterator[tuple[str, str]]:
        for name, value in case.headers.items():
            match name.lower():
                case "x-pointsman-tenant" if self._rng.random() < _AIMED:
                    if not principal.is_tenant:
                        yield name, self._rng.choice((TENANT, RIVAL))
                case "idempotency-key" if self._rng.random() < _AIMED:
                    yield name, str(uuid.UUID(int=self._rng.getrandbits(128)))
                case _:
                    yield name, value

    def _body(self, case: AnyCase, body: dict[str, Any]) -> dict[str, Any]:
        noun = _nouns(case.path)[-1]
        aimed = {name: self._aimed(_noun_of(name), value) for name, value in body.items() if name != "id"}
        if "id" in body:
            # Mostly a new one, so that making it can work; sometimes one that is taken.
            aimed["id"] = f"{noun}-{self._rng.getrandbits(40):x}" if self._rng.random() < _AIMED else self._aimed(noun, body["id"])
        if "template" in aimed and "prompt_service_id" in aimed:
            aimed.pop(self._rng.choice(("template", "prompt_service_id")))
        if "message" in aimed and self._rng.random() < _AIMED:
            # Most generated files are no files, and a session mostly belongs to somebody else.
            aimed = {name: value for name, value in aimed.items() if name not in {"attachments", "session_id", "model_settings"}}
        if "version" in aimed and "label" in aimed:
            aimed.pop(self._rng.choice(("version", "label")))
        for member in _dicts(aimed.get("agents")):
            member["agent_id"] = self._aimed("agents", member.get("agent_id"))
        self._set_model(aimed)
        if isinstance(aimed.get("config"), dict):
            if case.method == "PATCH":
                # It is any JSON to the document, since a merge patch is judged by what it makes of the config.
                aimed["config"] = self._rng.choice(_PATCHES) if self._rng.random() < _AIMED else aimed["config"]
            else:
                self._set_model(aimed["config"], default="scripted:echo")
                aimed.setdefault("template", "You help.") if "prompt_service_id" not in aimed else None
        return aimed

    def _set_model(self, settings: dict[str, Any], default: str | None = None) -> None:
        if ("model" not in settings and default is None) or self._rng.random() > 0.9:
            return
        if isinstance(settings.get("script"), dict):
            settings["model"] = "scripted:story"
        elif "model" in settings:
            settings["model"] = self._rng.choice(_MODELS)
        settings.pop("model_fallbacks", None)

    def _aimed(self, noun: str, value: Any) -> Any:
        known = self._ids.get(noun)
        if not known or self._rng.random() > _AIMED or not isinstance(value, (str, int)) or isinstance(value, bool):
            return value
        lasting = noun in {"agents", "prompts"} and self._rng.random() < 0.5
        chosen = self._rng.choice(tuple(_AGENTS) if lasting else known)
        return chosen if isinstance(chosen, type(value)) else str(chosen) if isinstance(value, str) else value

    def _note(self, noun: str, value: Any) -> None:
        if isinstance(value, (str, int)) and value not in self._ids[noun]:
            self._ids[noun].append(value)


def furnish(scene: Scene, company: Company, stock: Stock) -> None:
    """Make something of every sort, in the tenant that asks and in the one that must stay hidden from it."""
    with httpx.Client(base_url=scene.url, timeout=30, trust_env=False) as client:

        def make(principal: Principal, path: str, body: dict[str, Any]) -> None:
            answer = client.post(path, json=body, headers=principal.headers()).raise_for_status().json()
            stock.learn(path, answer)
            for approval in answer.get("approvals") or ():
                stock.learn("/v2/approvals", approval)

        keep_useful(scene)
        make(company.operator, "/v2/teams", _TEAM)
        for principal, said in ((company.tenant, "hello"), (company.rival, MARKER), (company.operator, "hello")):
            for name in _AGENTS:
                chat = {"message": said, "user_id": "ann", "metadata": {"said": said}}
                make(principal, f"/v2/agents/{name}/chat", chat)
            make(principal, "/v2/memories", {"user_id": "ann", "agent_id": "echo", "content": said})
            make(principal, "/v2/keys", {"name": said, "scopes": ["prompts:read"]})
            make(principal, "/v2/schedules", _SCHEDULE | {"request": {"message": said}})
            make(principal, "/v2/jobs", {"prompt": said})
        for value in ("ann", "bob"):
            stock.learn("/v2/users", {"id": value})
        for value in (RIVAL, TENANT):
            stock.learn("/v2/tenants", {"id": value})
        stock.learn("/v2/versions", {"id": 1})
        stock.learn("/v2/prompts/{prompt_id}/labels/{label}", {"label": _LABEL})
        stock.learn("/v2/budgets", {"id": _PLENTY["id"]})


def keep_useful(scene: Scene) -> None:
    """The agents that chats are aimed at as they were, and no budget that is used up, whatever generated requests made."""
    for budget in scene.root.get("/v2/budgets", params={"limit": 200}).json()["items"]:
        if budget["amount"] < _PLENTY["amount"]:
            scene.root.delete(f"/v2/budgets/{budget['id']}")
    scene.root.post("/v2/budgets", json=_PLENTY)
    for name, config in _AGENTS.items():
        new = {"id": name, "name": name, "config": config}
        made = scene.root.post("/v2/agents", json=new | {"template": "You help."})
        if made.status_code == 409:  # it is there, or another agent has kept its prompt
            made = scene.root.patch(f"/v2/agents/{name}", json={"config": {"script": None, "output_schema": None} | config})
        if made.status_code == 404:
            made = scene.root.post("/v2/agents", json=new | {"prompt_service_id": name})
        assert made.is_success, made.text
        scene.root.put(f"/v2/prompts/{name}/labels/{_LABEL}", json={"version": 1})


_LABEL = "production"
_PLENTY: dict[str, Any] = {
    "id": "plenty",
    "subject_type": "tenant",
    "subject_id": TENANT,
    "unit": "tokens",
    "period": "month",
    "amount": 1_000_000_000,
}
_TEAM: dict[str, Any] = {"id": "desk", "name": "Desk", "mode": "coordinate", "agents": [{"agent_id": "echo", "role": "leader"}]}
_SCHEDULE: dict[str, Any] = {"subject_type": "agent", "subject_id": "echo", "cron": "0 9 1 1 *"}
_PATCHES: tuple[dict[str, Any], ...] = (
    {"num_history_runs": 1},
    {"enable_memory": False, "enable_history": None},
    {"model": "scripted:echo", "script": None, "output_schema": None},
)
_AGENTS: dict[str, dict[str, Any]] = {
    "echo": {"model": "scripted:echo"},
    "story": {"model": "scripted:story", "script": {"turns": [{"text": "Once."}, {"tool_calls": [{"name": "think"}]}, {"text": "End."}]}},
    "careful": {
        "model": "scripted:story",
        "script": {"turns": [{"tool_calls": [{"name": "memory", "args": {"action": "recall"}}]}, {"text": "Done."}]},
        "worker_config": {"permissions": {"ask": ["memory"]}},
    },
    "provided": {"model": "openai:gpt-5-mini"},
}


def make_harmless(case: AnyCase, protected: set[int]) -> None:
    """A caller's own key is left alone: another number takes its place, that of no key. And no script pauses for minutes."""
    if "/keys/" in case.path and case.method not in {"GET", "HEAD"}:
        for name, value in case.path_parameters.items():
            text = str(value)
            if text.isascii() and text.isdigit() and int(text) in protected:
                case.path_parameters = {**case.path_parameters, name: 2_000_000_000}
    if isinstance(case.body, dict):
        body = cast("dict[str, Any]", case.body)
        case.body = _hastened(body if _is_negative(case, ParameterLocation.BODY) else _with_whole_numbers(body))


def _with_whole_numbers(value: Any) -> Any:
    """JSON Schema takes 7.0 for an integer; no program that has one writes it so, and ours is refused."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(inner) for name, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _hastened(value: Any) -> Any:
    """A script may pause for minutes; here each pause is a moment."""
    if isinstance(value, dict):
        told = cast("dict[str, Any]", value)
        return {name: _shorter(inner) if name == "delay_ms" else _hastened(inner) for name, inner in told.items()}
    return [_hastened(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


def _shorter(pause: Any) -> Any:
    return min(pause, _LONGEST_PAUSE_MS) if isinstance(pause, (int, float)) and not isinstance(pause, bool) else pause


def _is_negative(case: AnyCase, location: ParameterLocation) -> bool:
    return case.meta is not None and case.meta.is_negative_at(location)


def _nouns(path: str) -> list[str]:
    return [segment for segment in path.split("/")[2:] if not segment.startswith("{")] or [""]


def _before(template: str, parameter: str) -> str:
    segments = template.split("/")
    noun = segments[segments.index(f"{{{parameter}}}") - 1]
    return "agents" if noun == "members" else noun


def _noun_of(field: str) -> str:
    return _NOUNS.get(field, field.removesuffix("_id") + "s")


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in cast("list[Any]", items) if isinstance(item, dict)] if isinstance(items, list) else []
