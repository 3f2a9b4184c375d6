"""One pipeline for every line that is logged, ours and the libraries': context, time, no secrets, JSON."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import AbstractContextManager
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pointsman.kit.scrubbing import register_secret, scrub

__all__ = ["bound", "configure", "context_value", "register_secret"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# At lower levels these write down statements with their parameters, requests with their headers or the operator's addresses, or each
# request a second time.
_TALKATIVE = (
    "aiohttp.access",
    "alembic",
    "anthropic",
    "asyncio",
    "client",
    "google_genai",
    "hpack",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "mcp",
    "openai",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "urllib3",
    "uvicorn.access",
)
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure(level: str = "info", format: Literal["json", "console"] = "json", stream: TextIO | None = None) -> None:  # noqa: A002 - as in the settings
    """Send all logging of this process to `stream` (standard error by default); may be called again."""
    threshold = _LEVELS[level]
    target = stream or sys.stderr
    structlog.configure(
        processors=[*_context(), *_ending(format, target)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(threshold, format, target)


def bound(**values: Any) -> AbstractContextManager[None]:
    """Within the block, each line of this task and of those that it starts carries these values (request_id, run_id, key_id)."""
    return structlog.contextvars.bound_contextvars(**values)


def context_value(name: str) -> Any:
    """A value bound with `bound`, or None."""
    return structlog.contextvars.get_contextvars().get(name)


def _adopt_libraries(threshold: int, format: Literal["json", "console"], target: TextIO) -> None:  # noqa: A002 - as in the settings
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_context(), structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_ending(format, target)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _SERVERS:
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)


def _context() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]


def _ending(format: Literal["json", "console"], target: TextIO) -> list[Processor]:  # noqa: A002 - as in the settings
    """Exceptions become text before the scrubbing, since their messages quote what went wrong, secrets included."""
    console = structlog.dev.ConsoleRenderer(colors=target.isatty(), timestamp_key="at", exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, _scrub, _render_json if format == "json" else console]


def _scrub(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    return cast("EventDict", scrub(event))


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    del logger, method
    first = {name: event.pop(name) for name in ("at", "level", "event") if name in event}
    return json.dumps(first | dict(event), separators=(",", ":"))
