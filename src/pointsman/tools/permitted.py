"""A toolbox whose calls are held to an agent's permissions: denied ones are told to the model, some wait for a person first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pointsman.approvals.hashing import canonical, sha256_of
from pointsman.approvals.permissions import NOT_LISTED, Rules, argument_of
from pointsman.approvals.rows import Approval, Asking
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.turns.ports import Toolbox, ToolOutcome, Waits

_LONGEST_ID = 200

Asked = Mapping[tuple[int, str], Approval]
"""What was asked before and what came of it, by the model's answer and the id of the call in it."""


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf a run asks."""

    tenant_id: str
    user_id: str | None
    key_id: int | None
    run_id: str
    agent_id: str


class Permitted:
    """The tools of one turn behind an agent's rules."""

    def __init__(self, inner: Toolbox, rules: Rules, asker: Asker, step: Callable[[], int], asked: Asked) -> None:
        """Wrap `inner`; `step` says which answer of the model the calls belong to.

        `asked` is all that was asked when the turn was begun or taken up. While it is driven nothing is added: a run that asks is paused.
        """
        self._inner = inner
        self._rules = rules
        self._asker = asker
        self._step = step
        self._asked = asked

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered: denied tools too, so that it hears why it may not use them."""
        return self._inner.specs

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run the tool if that is allowed or was approved."""
        args = _decoded(call)
        if args is None:
            return ToolOutcome("The arguments are not a JSON object.", is_error=True)
        parameters = next((spec.parameters for spec in self._inner.specs if spec.name == call.name), None)
        judged = self._rules.judge(call.name, argument_of(args, parameters))
        if judged.verdict == "deny":
            return ToolOutcome(f"You may not do that: {call.name} with these arguments is denied ({judged.because}).", is_error=True)
        if judged.verdict == "allow":
            return await self._inner.call(call)
        approval = self._asked.get((self._step(), _key(call.id)))
        if approval is not None and approval.status != "pending" and approval.args_sha256 == sha256_of(args):
            return await self._as_decided(call, approval)
        return self._asking(call, args, parameters, judged.because)

    async def _as_decided(self, call: ToolCall, approval: Approval) -> ToolOutcome | Asking | Waits:
        if approval.status != "approved":
            return ToolOutcome(refusal(approval), is_error=True)
        if approval.edited_args is None:
            return await self._inner.call(call)
        edited = canonical(approval.edited_args)
        outcome = await self._inner.call(msgspec.structs.replace(call, args=edited))
        if not isinstance(outcome, ToolOutcome):
            return outcome
        return ToolOutcome(f"{outcome.content}\n(A person changed the arguments to {edited}.)", outcome.is_error)

    def _asking(self, call: ToolCall, args: dict[str, Any], parameters: dict[str, Any] | None, because: str) -> Asking:
        asker = self._asker
        why = because if because == NOT_LISTED else f"they ask about {because}"
        return Asking(
            tenant_id=asker.tenant_id,
            user_id=asker.user_id,
            key_id=asker.key_id,
            run_id=asker.run_id,
            step=self._step(),
            call_id=_key(call.id),
            tool_name=call.name,
            tool_args=args,
            rules=self._rules,
            parameters=parameters,
            reason=f"The permissions of the agent {asker.agent_id}: {why}.",
        )


def refusal(approval: Approval) -> str:
    """What a model hears of a call that was not approved."""
    if approval.status == "expired":
        return "The call was not made: nobody approved it in time."
    note = f" and said: {approval.note}" if approval.note else "."
    return f"The call was not made: a person denied it{note}"


def _decoded(call: ToolCall) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(call.args or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _key(call_id: str) -> str:
    """Providers choose their ids; one that no column would take is known by its hash."""
    return call_id if len(call_id) <= _LONGEST_ID else hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()
