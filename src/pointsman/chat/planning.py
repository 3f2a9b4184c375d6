"""From a request to a plan: what is wrong is said before a run exists, what is long is read after it has been opened."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import msgspec
import pydantic

from pointsman.agents.resolve import ResolvedAgent
from pointsman.approvals.permissions import Rules
from pointsman.chat.errors import AttachmentInvalid, VariablesMissing
from pointsman.chat.schemas import Attachment, ChatRequest
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Connection
from pointsman.kit.egress import Egress
from pointsman.kit.problems import FieldError
from pointsman.llm.errors import ModelAttachmentRefused
from pointsman.llm.models import Models
from pointsman.llm.options import ModelSettings
from pointsman.llm.port import AssistantMessage, File, Message, Reasoning, Text, UserMessage
from pointsman.prompts.template import render
from pointsman.sessions import memory, queries
from pointsman.skills.briefing import briefing
from pointsman.skills.rows import PinnedSkill
from pointsman.skills.tools import RUN
from pointsman.teams.resolve import ResolvedTeam
from pointsman.tools.builtin import KNOWLEDGE_SEARCH, MEMORY
from pointsman.turns.plan import TurnPlan
from pointsman.web.validation import invalid_request

_ATTACHMENT_BYTES = 10 * 1024 * 1024
_FETCH = timedelta(seconds=15)
_message = msgspec.json.Decoder(Message)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can be run: its models and settings are checked, its prompt is rendered, its attachments are at hand."""

    agent: ResolvedAgent
    models: tuple[str, ...]
    settings: dict[str, Any]
    prompt: str
    message: UserMessage
    stream: bool
    variables: dict[str, Any]
    team: ResolvedTeam | None = None  # which the agent leads


async def prepare(request: ChatRequest, agent: ResolvedAgent, models: Models, egress: Egress) -> Prepared:
    """Check everything that can be checked without the session. Raises the Problem of what is wrong."""
    names = (request.model, *agent.config.model_fallbacks) if request.model else agent.config.models
    names = tuple(dict.fromkeys(names))
    settings = agent.config.model_settings | _settings(request.model_settings)
    for name in names:
        models.require_configured(name)
        await models.check_settings(name, settings, reasoning=agent.config.enable_reasoning)
    prompt = _render((agent,), request.variables or {})
    files = await _files(request.attachments, names, models, egress)
    message = UserMessage((Text(request.message), *files))
    return Prepared(agent, names, settings, prompt, message, request.stream, request.variables or {})


async def prepare_team(request: ChatRequest, team: ResolvedTeam, models: Models, egress: Egress) -> Prepared:
    """The same for the leader of a team, and whether the prompts of all its members can be filled.

    What else may be wrong with a member is found when it is given a task, and told to the leader.
    """
    _render((team.leader, *(delegate.agent for delegate in team.delegates)), request.variables or {})
    return led(await prepare(request, team.leader, models, egress), team)


def led(prepared: Prepared, team: ResolvedTeam) -> Prepared:
    """The leader's turn, with the team's members to give work to."""
    return replace(prepared, prompt=f"{prepared.prompt}\n\n{team.briefing}", team=team)


def reprepare(request: dict[str, Any], agent: ResolvedAgent, message: UserMessage) -> Prepared:
    """The same for a run that was opened before, from what was stored of its request; it was checked then."""
    names = (request["model"], *agent.config.model_fallbacks) if "model" in request else agent.config.models
    return Prepared(
        agent=agent,
        models=tuple(dict.fromkeys(names)),
        settings=agent.config.model_settings | request.get("model_settings", {}),
        prompt=render(agent.template, request.get("variables", {})).text,
        message=message,
        stream=request.get("stream", False),
        variables=request.get("variables", {}),
    )


@dataclass(frozen=True, slots=True)
class Past:
    """What came before this turn: earlier messages, memories of the user, and how often the model has answered in the session."""

    history: tuple[Message, ...] = ()
    memories: tuple[memory.Remembered, ...] = ()
    answers: int = 0


def has_past(agent: ResolvedAgent, *, user_id: str | None, new_session: bool) -> bool:
    """Whether there can be anything to read."""
    return not new_session or (agent.config.enable_memory and user_id is not None)


async def read_past(
    connection: Connection,
    agent: ResolvedAgent,
    *,
    tenant: str,
    subject: str,
    session_id: str,
    user_id: str | None,
    run_id: str,
    new_session: bool,
) -> Past:
    """Read it, as the subject of the run, an agent or a team, has heard it; its cost does not grow with the session."""
    config = agent.config
    history: tuple[Message, ...] = ()
    answers = 0
    if config.enable_history and config.num_history_runs and not new_session:
        rows = await queries.list_history(connection, tenant=tenant, session_id=session_id, run_id=run_id, runs=config.num_history_runs)
        history = _history([(row["subject"], row["position"], row["content"]) for row in rows], subject)
    if config.script is not None and not new_session:
        answers = await queries.count_answers(connection, tenant=tenant, session_id=session_id, run_id=run_id)
    memories: list[memory.Remembered] = []
    if config.enable_memory and user_id is not None:
        memories = await memory.recall(connection, memory.Scope(tenant, user_id, agent.agent_id))
    return Past(history, tuple(memories), answers)


def plan_turn(prepared: Prepared, past: Past, *, reasons: bool, max_steps: int) -> TurnPlan:
    """The frozen plan. `reasons` says whether the model's provider has reasoning of its own."""
    config = prepared.agent.config
    thinks = config.enable_reasoning and not reasons
    return TurnPlan(
        models=prepared.models,
        system=_system(prepared.prompt, prepared.agent.skills, past.memories),
        history=past.history,
        settings=prepared.settings,
        output_schema=config.output_schema,
        reasoning=Reasoning(_effort(config.reasoning_max_steps)) if config.enable_reasoning and reasons else None,
        think_least=config.reasoning_min_steps if thinks else 0,
        think_most=config.reasoning_max_steps if thinks else 0,
        script=config.script,
        played=past.answers,
        max_steps=max_steps,
        untimed=_untimed(prepared),
        stream=prepared.stream,
    )


def tool_names(agent: ResolvedAgent, user_id: str | None) -> tuple[list[str], str | None]:
    """The built-in tools of a turn and the zone of `current_time`.

    Memory comes with `enable_memory` where there is a user, the search of knowledge with `knowledge`.
    """
    names = [tool["name"] for tool in agent.tools if tool["type"] == "builtin"]
    if agent.config.enable_memory and user_id is not None and MEMORY not in names:
        names.append(MEMORY)
    if agent.config.knowledge is not None and KNOWLEDGE_SEARCH not in names:
        names.append(KNOWLEDGE_SEARCH)
    zones = [tool["timezone"] for tool in agent.tools if tool.get("timezone")]
    return names, zones[0] if zones else None


def rules_of(agent: ResolvedAgent) -> Rules:
    """What the agent's tools are held to."""
    given = agent.config.worker_config
    return Rules() if given is None else Rules.of(WorkerConfig.model_validate(given))


def stored_request(request: ChatRequest) -> bytes:
    """The request as the run keeps it; the message and the attachments' bytes are in the run's first message."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    fields.pop("wait", None)
    for attachment in fields.get("attachments", ()):
        attachment.pop("data", None)
    return msgspec.json.encode(fields)


def decode_message(content: str) -> Message:
    """A message row."""
    return _message.decode(content)


def _settings(given: dict[str, Any] | None) -> dict[str, Any]:
    if not given:
        return {}
    try:
        return ModelSettings.model_validate(given).given()
    except pydantic.ValidationError as error:
        errors = [{**item, "loc": ("model_settings", *item["loc"])} for item in error.errors(include_url=False, include_input=False)]
        raise invalid_request(errors, _SettingsHolder) from None


class _SettingsHolder(pydantic.BaseModel):
    model_settings: ModelSettings


def _render(agents: Sequence[ResolvedAgent], variables: dict[str, Any]) -> str:
    """The first one's prompt, where the prompts of all can be filled. Raises VariablesMissing."""
    rendered = [render(agent.template, variables) for agent in agents]
    lacking = {agent.prompt_id: one.missing for agent, one in zip(agents, rendered, strict=True) if one.missing}
    if lacking:
        missing = list(dict.fromkeys(name for names in lacking.values() for name in names))
        nowhere = [name for name in rendered[0].unused if all(name in one.unused for one in rendered)]
        unused = f" No placeholder is called {', '.join(nowhere)}." if nowhere else ""
        needs = "; ".join(f"the prompt {prompt} needs a value for: {', '.join(names)}" for prompt, names in lacking.items())
        raise VariablesMissing(
            f"{needs[0].upper()}{needs[1:]}.",
            hint=f"Send them in `variables`.{unused}",
            errors=tuple(FieldError(f"/variables/{name}", "This placeholder of the prompt has no value.") for name in missing),
            missing=missing,
            unused=nowhere,
        )
    return rendered[0].text


async def _files(attachments: Sequence[Attachment], names: Sequence[str], models: Models, egress: Egress) -> list[File]:
    for index, attachment in enumerate(attachments):
        if (attachment.data is None) == (attachment.url is None):
            raise _bad(index, "An attachment has either `data` or `url`.")
        if not await models.accepts(names[0], attachment.media_type):
            raise ModelAttachmentRefused(
                f"{names[0]} does not take {attachment.media_type}.",
                hint="Choose a model that takes it, or send its text in the message.",
            )
    return list(await asyncio.gather(*(_file(index, attachment, egress) for index, attachment in enumerate(attachments))))


async def _file(index: int, attachment: Attachment, egress: Egress) -> File:
    if attachment.url is not None:
        fetched = await egress.fetch(attachment.url, max_bytes=_ATTACHMENT_BYTES, timeout=_FETCH, accept=(attachment.media_type,))
        return File(attachment.media_type, fetched.body)
    try:
        data = base64.b64decode(attachment.data or "", validate=True)
    except (binascii.Error, ValueError):
        raise _bad(index, "The data is not base64.") from None
    if not data:
        raise _bad(index, "The attachment is empty.")
    if len(data) > _ATTACHMENT_BYTES:
        raise _bad(index, f"An attachment has at most {_ATTACHMENT_BYTES} bytes.")
    return File(attachment.media_type, data)


def _bad(index: int, message: str) -> AttachmentInvalid:
    return AttachmentInvalid(message, errors=(FieldError(f"/attachments/{index}", message),))


def _history(rows: Sequence[tuple[str, int, str]], own: str) -> tuple[Message, ...]:
    """Earlier turns as the model is shown them: another subject's tools are not its own, and rejected answers are nobody's."""
    kept: list[tuple[str, Message]] = []
    for subject, position, content in rows:
        message = decode_message(content)
        if position and isinstance(message, UserMessage):
            # The user's own words are the first row of a run; a later one is our note, recorded with the answer that it rejects.
            kept.pop()
        else:
            kept.append((subject, message))
    shown = (message if subject == own else _spoken(message) for subject, message in kept)
    return tuple(message for message in shown if message is not None)


def _spoken(message: Message) -> Message | None:
    if isinstance(message, UserMessage):
        return message
    if isinstance(message, AssistantMessage):
        parts = tuple(part for part in message.parts if isinstance(part, Text))
        return AssistantMessage(parts, message.model) if parts else None
    return None


def _untimed(prepared: Prepared) -> frozenset[str]:
    """Members of a team take what they need; a script of a skill has a time of its own, which begins when there is room for it."""
    delegates = prepared.team.delegates if prepared.team else ()
    return frozenset((*(delegate.tool for delegate in delegates), *((RUN,) if prepared.agent.skills else ())))


def _system(prompt: str, skills: Sequence[PinnedSkill], memories: Sequence[memory.Remembered]) -> str:
    if skills:
        prompt = f"{prompt}\n\n{briefing(skills)}"
    if not memories:
        return prompt
    lines = "\n".join(f"- [{item.id}] {item.content}" for item in memories)
    return f"{prompt}\n\nWhat you remember about this user from earlier conversations:\n{lines}"


def _effort(max_steps: int) -> Literal["low", "medium", "high"]:
    """Where the provider reasons by itself, the most steps allowed say how hard."""
    if max_steps <= 3:
        return "low"
    return "medium" if max_steps <= 10 else "high"
