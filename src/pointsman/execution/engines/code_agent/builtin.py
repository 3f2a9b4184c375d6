"""Our own code agent: a loop of any model and tools that act inside the sandbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from pointsman.execution import queries
from pointsman.execution.engines import Parts
from pointsman.execution.engines.briefing import system_of
from pointsman.execution.engines.code_agent.borders import Borders, Keeper
from pointsman.execution.engines.code_agent.effects import Effects, InterruptionError
from pointsman.execution.engines.code_agent.steps import Steps
from pointsman.execution.engines.code_agent.toolbox import PausedError, SandboxTools
from pointsman.execution.engines.left import left_behind
from pointsman.execution.engines.printed import plain
from pointsman.execution.engines.spending import Spending, Spent
from pointsman.execution.engines.workspace import Tree, changed, look
from pointsman.execution.handlers import BuiltinAgent
from pointsman.execution.ports import Asks, Done, Failed, Outcome, OutOfMemory, RanOut, Sandbox, Work
from pointsman.kit.problems import Problem
from pointsman.llm.catalogue import EXAMPLES
from pointsman.llm.errors import ModelProblem
from pointsman.llm.port import Message, Text, ToolMessage, UserMessage
from pointsman.turns.errors import OutputInvalid, TooManySteps
from pointsman.turns.loop import TurnResult, run_turn
from pointsman.turns.plan import TurnPlan, TurnState


@dataclass(slots=True)
class _Session:
    """One attempt under way."""

    work: Work
    sandbox: Sandbox
    spending: Spending
    steps: Steps
    begun: Tree
    state: TurnState
    tools: SandboxTools
    plan: TurnPlan
    began: float = field(default_factory=time.monotonic)


class BuiltinEngine:
    """The port `Engine`."""

    def __init__(self, handler: BuiltinAgent, parts: Parts) -> None:
        self._handler = handler
        self._parts = parts

    async def run(self, work: Work) -> Outcome:
        """From the task, or from where it waited for a person, to an answer. Raises TargetFailed and Problems of models that may pass."""
        session = await self._begin(work)
        models = session.spending.around(self._parts.models)
        try:
            turn = await run_turn(session.plan, session.state, models, session.tools, session.steps)
        except asyncio.CancelledError:
            await session.steps.interrupted()
            raise
        except PausedError as pause:
            return await _paused(session, pause.approvals)
        except InterruptionError as interruption:
            return await _interrupted(session, interruption.cause)
        except ModelProblem as problem:
            await session.steps.paid(problem.spent)
            if problem.may_pass:  # the provider may be back for the next attempt
                raise
            return await _failed(session, problem)
        except (TooManySteps, OutputInvalid) as problem:
            return await _failed(session, problem)
        assert isinstance(turn, TurnResult), "these tools pause by raising"
        return await _answered(session, turn)

    async def _begin(self, work: Work) -> _Session:
        agent = await self._agent(work)
        sandbox = await work.sandbox()
        checkpoint = work.checkpoint
        begun = (await look(sandbox)).with_former(checkpoint.get("former", {}))
        state = TurnState(msgspec.convert(checkpoint.get("messages", []), list[Message]) or [UserMessage((Text(work.prompt),))])
        spending = Spending(self._parts.db, self._parts.budgets, work, Spent.of(checkpoint.get("usage")))
        borders = Borders.of(work.spec)
        keeper = Keeper(sandbox, borders, begun, may_delete="delete_files" in work.allowance.dangers)
        effects = Effects(sandbox, work.output, borders, keeper, list(checkpoint.get("commands", [])))
        tools = SandboxTools(work, state, effects)
        return _Session(work, sandbox, spending, Steps(work, spending), begun, state, tools, self._plan(work, agent))

    async def _agent(self, work: Work) -> Mapping[str, Any]:
        """The config of the worker agent, whose model and script stand in where the engine has none."""
        if work.agent_id is None:
            return {}
        async with self._parts.db.connection() as connection:
            return await queries.find_agent_config(connection, work.agent_id) or {}

    def _plan(self, work: Work, agent: Mapping[str, Any]) -> TurnPlan:
        handler = self._handler
        script = handler.script.model_dump(mode="json", exclude_unset=True) if handler.script else agent.get("script")
        own = handler.model is not None
        return TurnPlan(
            models=(handler.model, *handler.model_fallbacks)
            if handler.model
            else _models(agent) or (default_model(work.provider, script),),
            system=system_of(work, handler.instructions),
            history=(),
            settings=handler.model_settings.given() if own or not agent else dict(agent.get("model_settings", {})),
            script=script,
            max_steps=handler.max_steps,
            tool_timeout=timedelta(seconds=handler.tool_timeout),
        )


def default_model(provider: str, script: object = None) -> str:
    """The model of a provider that nobody has chosen. A provider without known models is asked for `default`."""
    if provider == "scripted":
        return "scripted:script" if script else "scripted:echo"
    return f"{provider}:{EXAMPLES.get(provider, ('default',))[0]}"


def _models(agent: Mapping[str, Any]) -> tuple[str, ...]:
    return (agent["model"], *agent.get("model_fallbacks", ())) if "model" in agent else ()


async def _answered(session: _Session, turn: TurnResult) -> Done:
    await session.steps.paid(turn.answer.spent)
    return Done(await _result(session, "completed", plain(turn.text)))


async def _failed(session: _Session, problem: Problem) -> Failed:
    reason = f"model: {problem.code}: {problem.detail}"
    return Failed(reason, await _result(session, "failed", "", error=reason))


async def _interrupted(session: _Session, cause: Problem | OutOfMemory) -> RanOut:
    if isinstance(cause, Problem):
        raise cause
    peak = await session.sandbox.peak_memory_mb()
    return RanOut(
        cause, peak, {"status": "oom", "output": "", "usage": session.spending.spent.read(), "error": f"memory ran out: {cause.detail}"}
    )


async def _paused(session: _Session, approvals: tuple[str, ...]) -> Asks:
    """Everything that the attempt which goes on needs; nothing is held meanwhile."""
    if session.steps.done:
        session.state.messages.append(ToolMessage(tuple(session.steps.done)))
    workspace = await session.sandbox.download()
    now = await asyncio.to_thread(Tree.of, workspace)
    checkpoint = {
        "messages": msgspec.to_builtins(session.state.messages),
        "former": session.begun.former_of(changed(session.begun, now)),
        "commands": session.tools.effects.commands,
        "usage": session.spending.spent.read(),
    }
    return Asks(approvals, checkpoint, workspace)


async def _result(session: _Session, status: str, output: str, *, error: str | None = None) -> dict[str, Any]:
    """As `execution_jobs.result` has it."""
    result: dict[str, Any] = {
        "status": status,
        "output": output,
        **await left_behind(session.sandbox, session.begun),
        "commands": session.tools.effects.commands,
        "model": session.plan.models[0],
        "steps": session.state.model_calls + (1 if status == "completed" else 0),
        "usage": session.spending.spent.read(),
        "duration_ms": round((time.monotonic() - session.began) * 1000),
    }
    return result | ({} if error is None else {"error": error})
