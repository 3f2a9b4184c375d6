from __future__ import annotations

import datetime as dt
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from pointsman.kit import log

KEY = "pm_" + "Ab3" * 16


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    log.configure("info", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_a_utc_time_a_level_and_an_event(stream: io.StringIO) -> None:
    structlog.get_logger().info("run.finished", run_id="run_1", seconds=0.5)
    (line,) = lines(stream)
    assert list(line)[:3] == ["at", "level", "event"]
    assert dt.datetime.fromisoformat(line.pop("at")).utcoffset() == dt.timedelta(0)
    assert line == {"level": "info", "event": "run.finished", "run_id": "run_1", "seconds": 0.5}


def test_less_severe_lines_than_asked_for_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger().debug("hidden")
    logging.getLogger("library").debug("hidden")
    assert lines(stream) == []


@pytest.mark.parametrize("name", ["httpx", "httpx2", "httpcore2.http11", "openai._base_client", "aiohttp.access", "uvicorn.access"])
def test_requests_that_libraries_log_once_more_are_left_out_with_their_addresses(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).info("HTTP Request: POST https://gateway.example/account-token/v1")
    logging.getLogger(name).warning("told")
    assert [line["event"] for line in lines(stream)] == ["told"]


def test_what_is_bound_is_on_each_line_of_the_task_and_nowhere_after(stream: io.StringIO) -> None:
    with log.bound(request_id="req_1", key_id=7):
        structlog.get_logger().info("within")
        logging.getLogger("library").info("within")
        assert log.context_value("request_id") == "req_1"
    structlog.get_logger().info("after")
    first, second, third = lines(stream)
    assert (first["request_id"], first["key_id"]) == (second["request_id"], second["key_id"]) == ("req_1", 7)
    assert "request_id" not in third
    assert log.context_value("request_id") is None


def test_libraries_log_through_the_same_pipeline(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("closing %s with %s", "port 8080", KEY)
    (line,) = lines(stream)
    assert line["event"] == "closing port 8080 with pm_***"
    assert (line["level"], line["logger"]) == ("warning", "uvicorn.error")


def test_statements_and_access_lines_of_libraries_stay_out(stream: io.StringIO) -> None:
    logging.getLogger("sqlalchemy.engine").info("SELECT 1 [parameters: hunter2]")
    logging.getLogger("uvicorn.access").info("GET /")
    assert lines(stream) == []


@pytest.mark.parametrize("logger", ["ours", "theirs"])
def test_the_text_of_an_exception_is_scrubbed_too(stream: io.StringIO, logger: str) -> None:
    try:
        try:
            raise ConnectionError("postgresql://owner:hunter2@db/pm refused")
        except ConnectionError as cause:
            raise RuntimeError(f"with {KEY}") from cause
    except RuntimeError:
        if logger == "ours":
            structlog.get_logger().exception("failed")
        else:
            logging.getLogger("library").exception("failed")
    (line,) = lines(stream)
    assert "RuntimeError: with pm_***" in line["exception"]
    assert "Traceback" in line["exception"]
    assert "hunter2" not in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_headers_and_nested_values_are_scrubbed(stream: io.StringIO) -> None:
    structlog.get_logger().info("request", headers=[(b"x-api-key", b"hunter2")], body={"token_data": {"password": "hunter2"}})
    logging.getLogger("library").info("got %r", {"Authorization": "Bearer hunter2hunter2"})
    assert "hunter2" not in stream.getvalue()


def test_values_that_are_no_json_do_not_break_a_line(stream: io.StringIO) -> None:
    structlog.get_logger().info("odd", value=object(), surrogate="\ud800", newline="a\nb", nan=float("nan"))
    assert len(stream.getvalue().splitlines()) == len(lines(stream)) == 1


def test_warnings_are_lines_as_well(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.configure("info", "json", stream)
        warnings.warn("careful", stacklevel=1)
    assert "careful" in lines(stream)[0]["event"]


def test_the_console_format_is_for_people_and_scrubbed_as_well(stream: io.StringIO) -> None:
    log.configure("debug", "console", stream)
    structlog.get_logger().debug("hello", key=KEY)
    logging.getLogger("library").error("broken %s", KEY)
    assert "hello" in stream.getvalue()
    assert "broken pm_***" in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_configuring_twice_logs_each_line_once(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)
    logging.getLogger("library").info("once")
    assert len(lines(stream)) == 1


def test_lines_go_to_standard_error_and_leave_standard_output_to_data() -> None:
    program = "from pointsman.kit import log; import structlog; log.configure(); structlog.get_logger().info('hello')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == ""
    assert json.loads(result.stderr)["event"] == "hello"
