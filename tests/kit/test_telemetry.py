from __future__ import annotations

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from pointsman.kit.telemetry import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample by its name and its labels' values in order."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples}


def test_requests_are_counted_by_route_method_and_class_of_status() -> None:
    metrics = Metrics()
    for status in (200, 201, 404):
        metrics.http("/v2/agents/{agent_id}", "GET", status, 0.01)
    found = samples(metrics)
    assert found["pointsman_http_requests_total", "/v2/agents/{agent_id}", "2xx", "GET"] == 2
    assert found["pointsman_http_requests_total", "/v2/agents/{agent_id}", "4xx", "GET"] == 1
    assert found["pointsman_http_request_seconds_count", "/v2/agents/{agent_id}"] == 3


def test_what_callers_send_cannot_grow_the_number_of_series() -> None:
    metrics = Metrics()
    for number in range(3000):
        metrics.http(f"/{number}", f"M{number}", 200, 0.01)
        metrics.model_call(f"evil {number}\n", f"code {number}", 0.1)
        metrics.model_call(f"provider-{number}", "ok", 0.1)
        metrics.run_finished(f"kind{number}", f"status{number}")
        metrics.shed(f"bound{number}")
    found = samples(metrics)
    assert len(found) < 60_000
    assert sum(1 for name, *_ in found if name == "pointsman_model_calls_total") <= 502
    assert found["pointsman_model_calls_total", "other", "other"] >= 3000
    assert found["pointsman_runs_finished_total", "other", "other"] == 3000
    assert sum(value for (name, *_), value in found.items() if name == "pointsman_http_shed_total") == 3000


def test_everything_else_shows_up_under_its_name() -> None:
    metrics = Metrics()
    metrics.rate_limited()
    metrics.run_finished("chat", "completed")
    metrics.run_redriven()
    metrics.watch_live(runs=lambda: 3, streams=lambda: 2)
    metrics.tokens(100, 7)
    metrics.events_written(40, 0.002)
    metrics.watch_pool("chat", lambda: 5, lambda: 8)
    metrics.watch_tasks(lambda: 21)
    metrics.usage_ids_used(0.25)
    found = samples(metrics)
    assert found["pointsman_http_rate_limited_total",] == 1
    assert found["pointsman_runs_finished_total", "chat", "completed"] == 1
    assert found["pointsman_runs_redriven_total",] == 1
    assert (found["pointsman_runs_live",], found["pointsman_streams_live",]) == (3, 2)
    assert (found["pointsman_tokens_total", "prompt"], found["pointsman_tokens_total", "completion"]) == (100, 7)
    assert found["pointsman_event_batch_rows_sum",] == 40
    assert found["pointsman_event_batch_seconds_count",] == 1
    assert (found["pointsman_db_connections_used", "chat"], found["pointsman_db_connections_open", "chat"]) == (5, 8)
    assert found["pointsman_tasks",] == 21
    assert found["process_resident_memory_bytes",] > 1_000_000
    assert found["process_open_fds",] > 0
    assert found["pointsman_token_usage_ids_used_ratio",] == 0.25


def test_two_processes_parts_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.rate_limited()
    assert samples(second)["pointsman_http_rate_limited_total",] == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("pointsman")]
