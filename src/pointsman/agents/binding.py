"""How an agent is bound to its prompt, inside the caller's transaction: one of its own or a shared one, pinned or not."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from pointsman.agents import queries
from pointsman.agents.errors import AgentPromptMissing, AgentPromptPinned, AgentPromptShared, AgentPromptTaken, AgentPromptUnknown
from pointsman.agents.rows import Agent, AgentPrompt
from pointsman.agents.schemas import AgentCreate, AgentPatch
from pointsman.kit.db import Connection
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError
from pointsman.prompts import queries as prompt_queries
from pointsman.prompts import writing
from pointsman.prompts.errors import PromptExists
from pointsman.prompts.writing import Content


class Pin(NamedTuple):
    """A version, a label, or neither."""

    version: int | None = None
    label: str | None = None


async def bind_new(connection: Connection, principal: Principal, agent: Agent, body: AgentCreate) -> AgentPrompt:
    """Bind an agent that is being created or brought back. Raises AgentPromptTaken, AgentPromptUnknown."""
    if body.template is not None:
        await _make_prompt(connection, principal, agent, body.template)
        return await queries.put_binding(connection, agent.id, version=None, label=None, made=True)
    pin = Pin(body.prompt_version, body.prompt_label)
    await _require_target(connection, body.prompt_service_id or "", pin)
    return await queries.put_binding(connection, agent.id, version=pin.version, label=pin.label, made=False)


async def rebind(connection: Connection, agent: Agent, patch: AgentPatch) -> set[str]:
    """Move to the prompt and the pin that the patch says; the names of what changed. Raises AgentPromptUnknown, AgentPromptPinned."""
    binding = await queries.find_binding(connection, agent.id)
    old = Pin(binding.pinned_version, binding.pinned_label) if binding else Pin()
    new = _moved(old, patch)
    prompt_id = patch.prompt_service_id if "prompt_service_id" in patch.model_fields_set else agent.prompt_service_id
    moves = prompt_id != agent.prompt_service_id
    if moves and new.version is not None and "prompt_version" not in patch.model_fields_set:
        raise AgentPromptPinned(
            f"The agent is pinned to version {new.version} of the prompt {agent.prompt_service_id}.",
            hint="Send prompt_version for the new prompt as well, null to unpin.",
        )
    if not moves and new == old:
        return set()
    await _require_target(connection, prompt_id or "", new)
    await queries.put_binding(connection, agent.id, version=new.version, label=new.label, made=False)
    pins = {name for name, a, b in (("prompt_version", old.version, new.version), ("prompt_label", old.label, new.label)) if a != b}
    return pins | ({"prompt_service_id"} if moves else set())


async def edit_template(connection: Connection, principal: Principal, agent: Agent, template: str) -> bool:
    """The next version of the agent's own prompt; whether anything changed. Raises AgentPromptShared, AgentPromptPinned."""
    binding = await queries.find_binding(connection, agent.id)
    if not is_own(agent, binding):
        raise AgentPromptShared(
            f"The prompt {agent.prompt_service_id} was not made with the agent {agent.id}.",
            hint=f"Change it for all who use it with PATCH /v2/prompts/{agent.prompt_service_id}.",
        )
    if binding is not None and (binding.pinned_version is not None or binding.pinned_label is not None):
        pinned = f"version {binding.pinned_version}" if binding.pinned_label is None else f"label {binding.pinned_label}"
        raise AgentPromptPinned(
            f"The agent is pinned to {pinned} and would not use the new template.",
            hint=f"Unpin it in the same request, or edit the prompt alone with PATCH /v2/prompts/{agent.id}.",
        )
    prompt = await prompt_queries.lock_prompt(connection, agent.id)
    if prompt is None or not prompt.is_active:
        raise AgentPromptMissing(f"The prompt {agent.id} was deleted.", hint="Create it again with POST /v2/prompts.")
    before = prompt.version
    edited = await writing.edit_prompt(connection, principal, prompt, replace(Content.of(prompt), template=template))
    return edited.version != before


async def release(connection: Connection, principal: Principal, agent: Agent) -> None:
    """Delete the prompt that was made with the agent, unless another agent uses it."""
    if not is_own(agent, await queries.find_binding(connection, agent.id)):
        return
    # Locked before asking: an agent that is being bound to the prompt holds it, so it is either seen or finds the prompt deleted.
    prompt = await prompt_queries.lock_prompt(connection, agent.id)
    if prompt is not None and not await queries.others_use_prompt(connection, prompt.id, agent.id):
        await writing.delete_prompt(connection, principal, prompt)


def is_own(agent: Agent, binding: AgentPrompt | None) -> bool:
    """Whether the agent uses the prompt that was made with it."""
    return binding is not None and binding.made_prompt and agent.prompt_service_id == agent.id


async def _make_prompt(connection: Connection, principal: Principal, agent: Agent, template: str) -> None:
    binding = await queries.find_binding(connection, agent.id)
    old = await prompt_queries.lock_prompt(connection, agent.id)
    # One that was deleted with its agent is the agent's still; one that somebody has brought back since is not.
    if old is not None and (old.is_active or binding is None or not binding.made_prompt):
        raise _taken(agent.id, deleted=not old.is_active)
    try:
        await writing.create_prompt(connection, principal, agent.id, Content(agent.name, template, None, [], []))
    except PromptExists:
        raise _taken(agent.id, deleted=False) from None


def _taken(prompt_id: str, *, deleted: bool) -> AgentPromptTaken:
    return AgentPromptTaken(
        f"A {'deleted ' if deleted else ''}prompt that was not made with this agent has the id {prompt_id}; it was not touched.",
        hint="Choose another id for the agent."
        if deleted
        else f"Send prompt_service_id: {prompt_id} to use it, or choose another id for the agent.",
    )


def _moved(pin: Pin, patch: AgentPatch) -> Pin:
    sent = patch.model_fields_set
    if "prompt_version" in sent and patch.prompt_version is not None:
        return Pin(version=patch.prompt_version)
    if "prompt_label" in sent and patch.prompt_label is not None:
        return Pin(label=patch.prompt_label)
    return Pin(None if "prompt_version" in sent else pin.version, None if "prompt_label" in sent else pin.label)


async def _require_target(connection: Connection, prompt_id: str, pin: Pin) -> None:
    if await prompt_queries.hold_prompt(connection, prompt_id) is None:
        raise _unknown("/prompt_service_id", f"There is no active prompt {prompt_id}.")
    if pin.version is not None and await prompt_queries.find_version(connection, prompt_id, pin.version) is None:
        raise _unknown("/prompt_version", f"The prompt {prompt_id} has no version {pin.version}.")
    if pin.label is not None and await prompt_queries.find_label(connection, prompt_id, pin.label) is None:
        raise _unknown("/prompt_label", f"The prompt {prompt_id} has no label {pin.label}.")


def _unknown(pointer: str, detail: str) -> AgentPromptUnknown:
    return AgentPromptUnknown(detail, hint="GET /v2/prompts lists prompts.", errors=(FieldError(pointer, detail),))
