"""One request to a provider's embeddings API, whose failures are those of model calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from pointsman.llm.errors import ModelProblem
from pointsman.llm.names import Provider
from pointsman.llm.providers.chat_completions.connection import Connections, Exchange
from pointsman.llm.providers.chat_completions.failures import FAILURES, as_problem, as_refusal, has_kept_silent
from pointsman.llm.providers.problems import reached

T = TypeVar("T")


class Asking:
    """Asks for what `path` gives, within the provider's limits on connecting, the first byte and silence."""

    def __init__(self, provider: Provider, name: str, path: str, *, key_header: str | None = None) -> None:
        """`name` is the model's, as problems call it. Loads TLS certificates: not for the event loop."""
        self._provider = provider
        self._name = name
        self._connections = Connections(provider, path, key_header=key_header)

    async def ask(self, body: dict[str, Any], decode: Callable[[bytes], T]) -> T:
        """The answer. Raises a `ModelProblem`."""
        exchange = None
        try:
            async with self._connections.ask(msgspec.json.encode(body)) as exchange:
                answer = await exchange.read_all()
                if not 200 <= exchange.response.status < 300:
                    raise as_refusal(exchange.response.status, exchange.response.headers, answer, self._provider, self._name)
            return decode(answer)
        except FAILURES as error:
            raise self._failed(error, exchange) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    def _failed(self, error: Exception, exchange: Exchange | None) -> ModelProblem:
        """A provider that began to answer well, or kept the connection in silence, had taken the call."""
        problem = as_problem(error, self._provider, self._name)
        answering = exchange is not None and 200 <= exchange.response.status < 300
        return reached(problem) if answering or has_kept_silent(error) else problem
