"""What is counted and measured, in a registry of our own; label sets are bounded, so that no caller can grow them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_MODEL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_WRITE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
_MOST_CHILDREN: Final = 2000
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_KINDS = frozenset(("chat", "team", "supervised"))
_STATUSES = frozenset(("completed", "failed", "cancelled", "paused"))
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class _Children:
    """The children of one metric, found by their labels with one look-up in a dict; past the bound they are one, `other`."""

    def __init__(self, metric: Any, most: int = _MOST_CHILDREN) -> None:
        self._metric = metric
        self._most = most
        self._found: dict[tuple[str, ...], Any] = {}

    def __call__(self, *labels: str) -> Any:
        child = self._found.get(labels)
        return child if child is not None else self._bind(labels)

    def _bind(self, labels: tuple[str, ...]) -> Any:
        kept = labels if len(self._found) < self._most else ("other",) * len(labels)
        child = self._metric.labels(*kept)
        if kept is labels:
            self._found[labels] = child
        return child


class Metrics:
    """All metrics of one process; made once, in the composition root.

    Callers give what they know; what could come from outside (a method, a provider, an outcome) is folded into known values here.
    """

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = registry = CollectorRegistry()
        self._requests = _Children(
            Counter("pointsman_http_requests", "Answered requests.", ("route", "method", "status"), registry=registry), most=5000
        )
        self._request_seconds = _Children(
            Histogram(
                "pointsman_http_request_seconds", "Time to the answer's end.", ("route",), buckets=_REQUEST_BUCKETS, registry=registry
            )
        )
        self._limited = Counter("pointsman_http_rate_limited", "Requests over a key's hourly limit.", registry=registry)
        self._shed = _Children(
            Counter("pointsman_http_shed", "Requests refused to stay within bounds.", ("bound",), registry=registry), most=20
        )
        self._runs = _Children(Counter("pointsman_runs_finished", "Runs that ended or paused.", ("kind", "status"), registry=registry))
        self._redriven = Counter("pointsman_runs_redriven", "Runs taken over from a replica that died.", registry=registry)
        self._live_runs = Gauge("pointsman_runs_live", "Runs that this process drives.", registry=registry)
        self._live_streams = Gauge("pointsman_streams_live", "Event streams that this process serves.", registry=registry)
        self._calls = _Children(Counter("pointsman_model_calls", "Model calls.", ("provider", "outcome"), registry=registry), most=500)
        self._call_seconds = _Children(
            Histogram("pointsman_model_call_seconds", "Length of a model call.", ("provider",), buckets=_MODEL_BUCKETS, registry=registry),
            most=100,
        )
        tokens = Counter("pointsman_tokens", "Tokens as recorded in token_usage.", ("direction",), registry=registry)
        self._prompt_tokens, self._completion_tokens = tokens.labels("prompt"), tokens.labels("completion")
        self._batch_rows = Histogram(
            "pointsman_event_batch_rows", "Rows in one write of the event log.", buckets=_BATCH_BUCKETS, registry=registry
        )
        self._batch_seconds = Histogram(
            "pointsman_event_batch_seconds", "Length of such a write.", buckets=_WRITE_BUCKETS, registry=registry
        )
        self._pool_used = _Children(Gauge("pointsman_db_connections_used", "Connections in use.", ("pool",), registry=registry), most=10)
        self._pool_open = _Children(Gauge("pointsman_db_connections_open", "Connections open.", ("pool",), registry=registry), most=10)
        self._tasks = Gauge("pointsman_tasks", "asyncio tasks of this process, its own loops among them.", registry=registry)
        self._tenant_pace = Gauge(
            "pointsman_http_tenant_pace", "Requests a second that each tenant may begin; infinite with time to spare.", registry=registry
        )
        self._expired = _Children(
            Counter("pointsman_retention_rows", "Rows deleted because they were out of date.", ("kind",), registry=registry), most=20
        )
        self._ids_used = Gauge(
            "pointsman_token_usage_ids_used_ratio", "Part of the INTEGER ids of token_usage that is used up.", registry=registry
        )
        # Memory, processor time, open files and start of the process, under the names that dashboards know.
        ProcessCollector(registry=registry)

    def http(self, route: str, method: str, status: int, seconds: float) -> None:
        """An answered request; `route` is the template ("/v2/agents/{agent_id}"), "none" where no route matched."""
        self._requests(route, method if method in _METHODS else "other", f"{status // 100}xx").inc()
        self._request_seconds(route).observe(seconds)

    def rate_limited(self) -> None:
        self._limited.inc()

    def shed(self, bound: str) -> None:
        """A request refused because a bound was reached: "body", "bodies", "connections", "runs", "streams", "tenant"."""
        self._shed(_word(bound)).inc()

    def run_finished(self, kind: str, status: str) -> None:
        """A run that this process drove ended, or paused."""
        self._runs(kind if kind in _KINDS else "other", status if status in _STATUSES else "other").inc()

    def run_redriven(self) -> None:
        self._redriven.inc()

    def watch_live(self, *, runs: Callable[[], int], streams: Callable[[], int]) -> None:
        """Ask for what is alive whenever the metrics are read: unlike a count kept beside it, that cannot drift."""
        self._live_runs.set_function(lambda: float(runs()))
        self._live_streams.set_function(lambda: float(streams()))

    def model_call(self, provider: str, outcome: str, seconds: float) -> None:
        """One call; `outcome` is "ok" or the code of the problem that it ended with."""
        provider = _word(provider)
        self._calls(provider, _word(outcome)).inc()
        self._call_seconds(provider).observe(seconds)

    def tokens(self, prompt: int, completion: int) -> None:
        self._prompt_tokens.inc(prompt)
        self._completion_tokens.inc(completion)

    def events_written(self, rows: int, seconds: float) -> None:
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def watch_pool(self, name: str, used: Callable[[], int], opened: Callable[[], int]) -> None:
        """Ask for the connections in use and for those open whenever the metrics are read."""
        self._pool_used(_word(name)).set_function(lambda: float(used()))
        self._pool_open(_word(name)).set_function(lambda: float(opened()))

    def watch_tasks(self, tasks: Callable[[], int]) -> None:
        """Ask for the number of asyncio tasks whenever the metrics are read: what grows without load is a leak."""
        self._tasks.set_function(lambda: float(tasks()))

    def watch_tenant_pace(self, pace: Callable[[], float]) -> None:
        """Ask for the requests a second that each tenant may begin."""
        self._tenant_pace.set_function(pace)

    def rows_expired(self, kind: str, rows: int) -> None:
        """Rows that retention has deleted."""
        self._expired(_word(kind)).inc(rows)

    def usage_ids_used(self, fraction: float) -> None:
        """How much of the id space of token_usage is used up, 0 to 1."""
        self._ids_used.set(fraction)

    def render(self) -> bytes:
        """The text that Prometheus reads; its media type is `CONTENT_TYPE_LATEST`."""
        return generate_latest(self.registry)


def _word(label: str) -> str:
    return label if _WORD.fullmatch(label) else "other"
