"""One attempt at one model over Chat Completions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator

import msgspec

from pointsman.llm.errors import ModelProblem, ModelSettingUnsupported
from pointsman.llm.names import Provider
from pointsman.llm.port import ModelCall, ReasoningDelta, TextDelta
from pointsman.llm.providers.chat_completions.answer import AnswerReader, StreamedAnswer
from pointsman.llm.providers.chat_completions.capabilities import Capabilities, look_up
from pointsman.llm.providers.chat_completions.connection import Connections, Exchange
from pointsman.llm.providers.chat_completions.failures import (
    FAILURES,
    as_error_in_stream,
    as_problem,
    as_refusal,
    has_kept_silent,
)
from pointsman.llm.providers.chat_completions.request import RequestWriter
from pointsman.llm.providers.chat_completions.sse import Events
from pointsman.llm.providers.chat_completions.usage import UsageReader
from pointsman.llm.providers.chat_completions.wire import chunks, completions
from pointsman.llm.providers.port import Reply
from pointsman.llm.providers.problems import reached, unfinished

_KEPT_MODELS = 200
_LARGEST_REFUSAL = 64 * 1024
_DONE = b"[DONE]"
# What pydantic-ai raises for a schema that it cannot rewrite for the model.
_REWRITING = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


def open_adapter(provider: Provider) -> ChatCompletionsAdapter:
    """An adapter for the provider. Loads pydantic-ai and TLS certificates: not for the event loop."""
    return ChatCompletionsAdapter(provider)


class _Model(msgspec.Struct, frozen=True):
    """What is made once for each model's name."""

    name: str
    capabilities: Capabilities
    requests: RequestWriter
    answers: AnswerReader


class ChatCompletionsAdapter:
    """A provider that speaks Chat Completions."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._connections = Connections(provider)
        self._usage = UsageReader(provider.name, provider.base_url)
        self._models: OrderedDict[str, _Model] = OrderedDict()

    async def complete(self, model: str, call: ModelCall) -> Reply:
        made = self._model(model)
        body = self._body(made, call, stream=False)
        exchange = None
        try:
            async with self._connections.ask(body) as exchange:
                if exchange.response.status != 200:
                    await self._require_success(exchange, made.name)
                answer = await exchange.read_all()
            return made.answers.read(completions.decode(answer), structured=call.output_schema is not None)
        except FAILURES as error:
            raise self._failed(error, exchange, made.name) from error

    async def stream(self, model: str, call: ModelCall) -> AsyncGenerator[TextDelta | ReasoningDelta | Reply]:
        made = self._model(model)
        body = self._body(made, call, stream=True)
        answer, exchange = StreamedAnswer(made.answers), None
        try:
            async with self._connections.ask(body) as exchange:
                if exchange.response.status != 200:
                    await self._require_success(exchange, made.name)
                events = Events()
                while piece := await exchange.read():
                    try:
                        done = self._add(answer, events.feed(piece), made.name)
                    except (*FAILURES, ModelProblem):
                        for delta in answer.take():  # what came before in the same read
                            yield delta
                        raise
                    for delta in answer.take():
                        yield delta
                    if done:
                        await exchange.end()
                        break
            reply = self._end(answer, call, made.name)
            for delta in answer.take():
                yield delta
        except FAILURES as error:
            raise answer.broken_off(self._failed(error, exchange, made.name)) from error
        yield reply

    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:
        known = self._model(model).capabilities
        return known.unsupported_while_reasoning if reasoning else known.unsupported

    def reasons(self, model: str) -> bool:
        return self._model(model).capabilities.reasons

    def accepts(self, model: str, media_type: str) -> bool:
        return media_type in self._model(model).capabilities.media_types

    async def aclose(self) -> None:
        await self._connections.aclose()

    def _model(self, model: str) -> _Model:
        """What belongs to the name, made once; the most recently used ones are kept, for callers choose the names."""
        made = self._models.get(model)
        if made is None:
            made = self._models[model] = self._made(model)
            if len(self._models) > _KEPT_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(model)
        return made

    def _made(self, model: str) -> _Model:
        name, author = f"{self._provider.name}:{model}", self._provider.name
        known = look_up(self._provider, model)
        return _Model(name, known, RequestWriter(model, author, known), AnswerReader(name, author, known, self._usage))

    def _body(self, made: _Model, call: ModelCall, *, stream: bool) -> bytes:
        try:
            return made.requests.write(call, stream=stream)
        except _REWRITING as error:
            raise ModelSettingUnsupported(f"{made.name}: a schema of the call cannot be sent: {error}", model=made.name) from error

    async def _require_success(self, exchange: Exchange, name: str) -> None:
        response = exchange.response
        if not 200 <= response.status < 300:
            body = b""
            while len(body) < _LARGEST_REFUSAL and (piece := await exchange.read()):
                body += piece
            raise as_refusal(response.status, response.headers, body[:_LARGEST_REFUSAL], self._provider, name)

    def _add(self, answer: StreamedAnswer, events: list[bytes], name: str) -> bool:
        """Add what came; True once the provider says that this was all."""
        for data in events:
            if data.startswith(_DONE):
                return True
            chunk = chunks.decode(data)
            if chunk.error:
                raise answer.broken_off(as_error_in_stream(chunk.error, self._provider, name))
            answer.add(chunk)
        return False

    def _end(self, answer: StreamedAnswer, call: ModelCall, name: str) -> Reply:
        if not answer.finished:
            raise answer.broken_off(reached(unfinished(name)))
        return answer.end(structured=call.output_schema is not None)

    def _failed(self, error: Exception, exchange: Exchange | None, name: str) -> ModelProblem:
        """What went wrong; a provider that began to answer well, or kept the connection in silence, had taken the call."""
        problem = as_problem(error, self._provider, name)
        answering = exchange is not None and 200 <= exchange.response.status < 300
        return reached(problem) if answering or has_kept_silent(error) else problem
