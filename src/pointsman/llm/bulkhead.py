"""A bound on the calls under way to one provider, so that a hung one cannot take every connection and task there is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pointsman.llm.errors import ModelBusy
from pointsman.llm.names import Provider


class Bulkhead:
    """Full means refused at once: a queue before a hung provider would only hide it."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._under_way = 0

    @contextmanager
    def place(self) -> Generator[None]:
        """Hold a place while the call lasts. Raises ModelBusy."""
        most = self._provider.limits.concurrency
        if self._under_way >= most:
            raise ModelBusy(
                f"{most} calls to {self._provider.name!r} are under way already.",
                hint=f"Try again shortly; {self._provider.variable('concurrency')} sets the bound.",
                retry_after=1,
                provider=self._provider.name,
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
