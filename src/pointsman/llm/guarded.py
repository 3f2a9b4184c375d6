"""Models behind circuit breakers: one that failed too often is not asked, and a fallback is where there is one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from pointsman.breakers.breaking import Breakers, Subject
from pointsman.breakers.errors import CircuitOpen
from pointsman.kit.ids import new_id
from pointsman.llm.errors import ModelProblem
from pointsman.llm.models import Models
from pointsman.llm.port import ModelAnswer, ModelCall, StreamItem
from pointsman.settings import Settings

_SCRIPTED = "scripted:"


class GuardedModels(Models):
    """The models of a worker. Raises CircuitOpen as well, which is no ModelProblem: nothing was asked."""

    def __init__(self, settings: Settings, breakers: Breakers) -> None:
        super().__init__(settings)
        self._breakers = breakers

    async def complete(self, call: ModelCall) -> ModelAnswer:
        """The whole answer at once. Raises a `ModelProblem`, CircuitOpen."""
        call, holder = await self._enter(call)
        try:
            answer = await super().complete(call)
        except ModelProblem as problem:
            await self._failed(call, holder, problem)
            raise
        await self._breakers.succeeded(_subjects([answer.message.model]), holder)
        return answer

    async def stream(self, call: ModelCall) -> AsyncGenerator[StreamItem]:
        """The answer as it comes; a `ModelAnswer` is the last item. Raises a `ModelProblem`, CircuitOpen."""
        call, holder = await self._enter(call)
        try:
            async with aclosing(super().stream(call)) as items:
                async for item in items:
                    if isinstance(item, ModelAnswer):
                        await self._breakers.succeeded(_subjects([item.message.model]), holder)
                    yield item
        except ModelProblem as problem:
            await self._failed(call, holder, problem)
            raise

    async def _enter(self, call: ModelCall) -> tuple[ModelCall, str]:
        """The call without the models that are left alone, and by what name it is known."""
        holder, models = new_id("ask"), list(call.models)
        while True:
            try:
                await self._breakers.enter(_subjects(models[:1]), holder)
            except CircuitOpen:
                if len(models) == 1:
                    raise
                del models[0]
            else:
                return msgspec.structs.replace(call, models=tuple(models)), holder

    async def _failed(self, call: ModelCall, holder: str, problem: ModelProblem) -> None:
        if problem.may_pass:
            for subject in _subjects(call.models):
                await self._breakers.failed(subject, holder, f"{problem.code}: {problem.detail}")


def _subjects(models: Sequence[str]) -> list[Subject]:
    return [Subject("model", model) for model in models if model and not model.startswith(_SCRIPTED)]
