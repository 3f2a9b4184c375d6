"""Asks models: retries, fallbacks, limits and bulkheads around the providers' adapters; what each attempt cost is never lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from pointsman.llm.adapters import Adapters
from pointsman.llm.catalogue import CatalogueEntry, list_catalogue
from pointsman.llm.errors import (
    InvalidModelCall,
    ModelAttachmentRefused,
    ModelProblem,
    ModelSettingUnsupported,
    ModelTimeout,
)
from pointsman.llm.estimates import estimate
from pointsman.llm.names import Provider, Providers
from pointsman.llm.port import File, ModelAnswer, ModelCall, ReasoningDelta, Restarted, Spend, StreamItem, TextDelta
from pointsman.llm.providers.port import Adapter, Reply
from pointsman.llm.retries import Patience
from pointsman.settings import Settings


@dataclass(frozen=True, slots=True)
class _Target:
    """A model that is about to be asked, and what."""

    call: ModelCall
    provider: Provider
    adapter: Adapter
    model: str
    name: str  # with the provider
    models_left: int


class Models:
    """Every model this process can ask; implements `ModelPort`.

    `complete` and `stream` ask `call.models` in order: the next one where one failed, silently before any output, after it with a
    `Restarted`. A call that is wrong in itself (`InvalidModelCall`) for the first model is never handed to a fallback. Close a
    stream that is not read to its end (`contextlib.aclosing`): that ends the upstream call.
    """

    def __init__(self, settings: Settings) -> None:
        self._providers = Providers(settings)
        self._adapters = Adapters()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._adapters.aclose()

    async def warm(self, providers: Iterable[str]) -> None:
        """Load the libraries of those of these providers that can be asked, which takes seconds, in a thread."""
        for name in providers:
            known = self._providers.by_name.get(name)
            if known is not None and known.configured:
                await self._adapters.get(known)

    async def complete(self, call: ModelCall) -> ModelAnswer:
        """The whole answer at once. Raises a `ModelProblem`."""
        spent: tuple[Spend, ...] = ()
        began = time.monotonic()
        for position in range(len(call.models)):
            try:
                target = await self._target(call, position)
                answer = await self._complete(target, began)
                return msgspec.structs.replace(answer, spent=spent + answer.spent)
            except ModelProblem as problem:
                spent = problem.spent = spent + problem.spent
                if _is_last(call, position, problem):
                    raise
        raise AssertionError("a call names at least one model")

    async def stream(self, call: ModelCall) -> AsyncGenerator[StreamItem]:
        """The answer as it comes; a `ModelAnswer` is the last item. Raises a `ModelProblem`."""
        spent: tuple[Spend, ...] = ()
        began = time.monotonic()
        for position in range(len(call.models)):
            shown = False
            try:
                target = await self._target(call, position)
                async with aclosing(self._stream(target, began)) as items:
                    async for item in items:
                        if isinstance(item, ModelAnswer):
                            yield msgspec.structs.replace(item, spent=spent + item.spent)
                            return
                        shown = True
                        yield item
            except ModelProblem as problem:
                spent = problem.spent = spent + problem.spent
                if _is_last(call, position, problem):
                    raise
                if shown:
                    yield Restarted(f"{problem.code}: {problem.detail}")

    # --- what models can do

    def require(self, model: str) -> None:
        """Refuse a malformed name and an unknown provider. Connects to nothing. Raises ModelUnknown."""
        self._providers.split(model)

    def require_configured(self, model: str) -> None:
        """The same, and refuse a provider without a key. Raises ModelUnknown, ModelNotConfigured."""
        self._providers.require_configured(model)

    async def check_settings(self, model: str, settings: dict[str, object], *, reasoning: bool = False) -> None:
        """Refuse settings that would have no effect on the model. Raises ModelSettingUnsupported, ModelUnknown."""
        provider, name = self._providers.split(model)
        adapter = await self._adapters.get(provider)
        dropped = [] if not settings else sorted(set(settings) & adapter.unsupported(name, reasoning=reasoning and adapter.reasons(name)))
        if dropped:
            raise ModelSettingUnsupported(
                f"{model} does not take {', '.join(f'`{setting}`' for setting in dropped)}.",
                hint="Leave it out, or choose another model." + (" It is refused while reasoning is on." if reasoning else ""),
                model=model,
                settings=dropped,
            )

    async def reasoning(self, model: str) -> bool:
        """Whether the model takes a reasoning effort of its own. Raises ModelUnknown."""
        provider, name = self._providers.split(model)
        return (await self._adapters.get(provider)).reasons(name)

    async def accepts(self, model: str, media_type: str) -> bool:
        """Whether the model takes attachments of that media type (images, PDF). Raises ModelUnknown."""
        provider, name = self._providers.split(model)
        return (await self._adapters.get(provider)).accepts(name, media_type)

    def catalogue(self) -> list[CatalogueEntry]:
        """The known providers, whether they are configured, and some model names."""
        return list_catalogue(self._providers.by_name.values())

    # --- one model

    async def _target(self, call: ModelCall, position: int) -> _Target:
        name = call.models[position]
        provider, model = self._providers.require_configured(name)
        adapter = self._adapters.find(provider) or await self._adapters.get(provider)
        await self.check_settings(name, call.settings, reasoning=call.reasoning is not None)
        _refuse_attachments(call, name, adapter, model)
        if call.reasoning is not None and not adapter.reasons(model):
            if position == 0:
                raise ModelSettingUnsupported(f"{name} has no reasoning effort of its own.", model=name)
            # A fallback answers as well as it can.
            call = msgspec.structs.replace(call, reasoning=None)
        return _Target(call, provider, adapter, model, name, len(call.models) - position)

    async def _complete(self, target: _Target, began: float) -> ModelAnswer:
        limits = target.provider.limits
        started = time.monotonic()
        patience = Patience(limits, began=began, now=started, models_left=target.models_left)
        spent: tuple[Spend, ...] = ()
        with self._adapters.bulkhead(target.provider).place():
            while True:
                attempt = time.monotonic()
                try:
                    async with asyncio.timeout(limits.total.total_seconds() - (attempt - started)):
                        reply = await target.adapter.complete(target.model, target.call)
                    return _answer(reply, target, attempt, spent)
                except TimeoutError:
                    problem = _total(target)
                except ModelProblem as failed:
                    problem = failed
                spent += _cost(problem, target, attempt)
                await _wait_or_raise(problem, patience, attempt, spent)

    async def _stream(self, target: _Target, began: float) -> AsyncGenerator[TextDelta | ReasoningDelta | ModelAnswer]:
        limits = target.provider.limits
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.total.total_seconds()
        patience = Patience(limits, began=began, now=started, models_left=target.models_left)
        spent: tuple[Spend, ...] = ()
        with self._adapters.bulkhead(target.provider).place():
            while True:
                attempt, produced = time.monotonic(), None
                try:
                    async with aclosing(target.adapter.stream(target.model, target.call)) as items:
                        while True:
                            # Around each step, not around the whole: a scope held across a `yield` would cancel its reader.
                            async with asyncio.timeout_at(deadline):
                                item = await anext(items)
                            if isinstance(item, Reply):
                                yield _answer(item, target, attempt, spent)
                                return
                            produced = (produced or 0) + len(item.text)
                            yield item
                except TimeoutError:
                    problem = _total(target)
                    problem.produced = produced
                except ModelProblem as failed:
                    problem = failed
                spent += _cost(problem, target, attempt)
                await _wait_or_raise(problem, patience, attempt, spent)


def _refuse_attachments(call: ModelCall, name: str, adapter: Adapter, model: str) -> None:
    for message in call.messages:
        for part in message.parts:
            if isinstance(part, File) and not adapter.accepts(model, part.media_type):
                raise ModelAttachmentRefused(
                    f"{name} does not take attachments of type {part.media_type!r}.",
                    hint="Models take images (PNG, JPEG, GIF, WebP) and, some of them, PDF.",
                    model=name,
                    media_type=part.media_type,
                )


def _is_last(call: ModelCall, position: int, problem: ModelProblem) -> bool:
    return position == len(call.models) - 1 or (position == 0 and isinstance(problem, InvalidModelCall))


async def _wait_or_raise(problem: ModelProblem, patience: Patience, attempt: float, spent: tuple[Spend, ...]) -> None:
    """Sleep until the next attempt, or raise the problem with what all attempts cost."""
    delay = patience.next_delay(problem, attempt_began=attempt, now=time.monotonic())
    if delay is None:
        problem.spent = spent
        raise problem
    await asyncio.sleep(delay)


def _cost(problem: ModelProblem, target: _Target, attempt: float) -> tuple[Spend, ...]:
    """What a failed attempt is billed for: as reported, else by estimate; nothing if it never reached the provider or was refused."""
    usage, produced = problem.reported, problem.produced
    if usage is None and produced is None and not problem.reached:
        return ()
    if usage is None or usage.is_estimated:
        usage = estimate(target.call, produced or 0, usage)
    return (Spend(target.name, usage, _milliseconds_since(attempt)),)


def _answer(reply: Reply, target: _Target, attempt: float, spent: tuple[Spend, ...]) -> ModelAnswer:
    usage = reply.usage
    if usage is None:
        produced = sum(len(getattr(part, "text", "")) + len(getattr(part, "args", "")) for part in reply.message.parts)
        usage = estimate(target.call, produced)
    spend = Spend(target.name, usage, _milliseconds_since(attempt))
    return ModelAnswer(reply.message, reply.finish_reason, (*spent, spend))


def _milliseconds_since(moment: float) -> int:
    return int((time.monotonic() - moment) * 1000)


def _total(target: _Target) -> ModelTimeout:
    seconds = target.provider.limits.total.total_seconds()
    problem = ModelTimeout(
        f"{target.name}: The call was not finished within {seconds:g} s.",
        hint=f"{target.provider.variable('total')} sets this limit.",
        limit="total",
        model=target.name,
        transient=False,
    )
    problem.reached = True
    return problem
