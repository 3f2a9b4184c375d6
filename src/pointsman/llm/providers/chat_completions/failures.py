"""Turns what goes wrong between here and a provider into a `ModelProblem`."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from typing import Any, cast

import aiohttp
import msgspec
from pydantic_ai.models import known_model_names

from pointsman.llm.errors import ModelCredentials, ModelProblem, ModelRejected, ModelUnavailable
from pointsman.llm.names import Provider
from pointsman.llm.providers.chat_completions.answer import AnswerTooLong, CallUnknown
from pointsman.llm.providers.chat_completions.connection import BodyTooLarge, Silence, Unsendable
from pointsman.llm.providers.chat_completions.sse import EventTooLong
from pointsman.llm.providers.chat_completions.wire import UNREADABLE
from pointsman.llm.providers.problems import (
    Refusal,
    Refused,
    disconnected,
    message_in,
    reached,
    refused,
    secret_of,
    timed_out,
    unconnected,
    unreadable,
    unsendable,
    words_of,
)
from pointsman.llm.scrubbing import scrub

FAILURES: tuple[type[Exception], ...] = (
    *UNREADABLE,
    aiohttp.ClientError,
    OSError,
    Silence,
    BodyTooLarge,
    EventTooLong,
    AnswerTooLong,
    CallUnknown,
    Unsendable,
    IndexError,  # an answer without a choice
)
_TOO_LONG = (BodyTooLarge, EventTooLong, AnswerTooLong)
# The provider sends these with 429 as if waiting helped.
_QUOTA = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
# An error inside a stream comes without a status; its code or type is that of the status it would have had.
_STATUS_OF = {
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "too_many_requests", *_QUOTA), 429),
    **dict.fromkeys(("service_unavailable", "service_unavailable_error", "server_is_overloaded", "overloaded"), 503),
    "context_length_exceeded": 400,
    "server_error": 500,
}
_TOO_LONG_A_PROMPT = ("maximum context length", "reduce the length of the messages")
_OVERLOADED = ("overloaded", "over capacity")


def as_problem(error: Exception, provider: Provider, name: str) -> ModelProblem:
    """The problem that an exception of `FAILURES` amounts to."""
    if isinstance(error, Unsendable | aiohttp.InvalidURL):
        return unsendable(provider, name)
    if isinstance(error, Silence | aiohttp.ServerTimeoutError):
        return _timed_out(error, provider, name)
    if isinstance(error, _TOO_LONG):
        return unreadable("it is too long to be an answer", provider, name)
    if isinstance(error, CallUnknown | IndexError):
        return unreadable("it has no choice, or calls what is no function", provider, name)
    if isinstance(error, UNREADABLE):
        return unreadable(words_of(error, provider), provider, name)
    return _unreached(error, provider, name)


def has_kept_silent(error: Exception) -> bool:
    """Whether the connection held while nothing came for as long as a limit allows."""
    return isinstance(error, Silence | aiohttp.SocketTimeoutError)


def as_refusal(status: int, headers: Any, body: bytes, provider: Provider, name: str) -> ModelProblem:
    """The problem that an answer without success amounts to."""
    if status < 400:
        return unreadable(f"Error code: {status}", provider, name)
    said = _said(body)
    code, kind = _named(said)
    refusal = _refusal(code, kind, message_in(said))
    suggestion = _suggestion(provider, name) if code == "model_not_found" else None
    return refused(Refused(status, said, refusal, _retry_after(headers), suggestion), provider, name)


def as_error_in_stream(error: Any, provider: Provider, name: str) -> ModelProblem:
    """The problem that an error inside a stream amounts to."""
    return reached(_said_in_stream(error, provider, name))


def _said_in_stream(error: Any, provider: Provider, name: str) -> ModelProblem:
    code, kind = _named(error)
    status = _STATUS_OF.get(code) or _STATUS_OF.get(kind) or _numeric(code)
    message = message_in(error) if isinstance(error, dict) else "An error occurred during streaming"
    refusal = _refusal(code, kind, message)
    if status is not None:
        return refused(Refused(status, error, refusal, in_stream=True), provider, name)
    words = scrub(message, secret_of(provider)).rstrip(".")
    if refusal == "credentials":
        return ModelCredentials(f"{name}: {words}", model=name)
    if refusal is not None:
        return ModelRejected(f"{name}: {words}", model=name)
    if any(phrase in text.lower() for phrase in _OVERLOADED for text in (code, kind)):
        return ModelUnavailable(f"{name}: {words}", model=name)
    return unreadable(words, provider, name)


def _timed_out(error: Exception, provider: Provider, name: str) -> ModelProblem:
    if isinstance(error, Silence):
        return timed_out(provider, name, error.limit, may_pass=False)
    connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
    return timed_out(provider, name, "connect" if connecting else "first_byte", may_pass=connecting)


def _unreached(error: Exception, provider: Provider, name: str) -> ModelProblem:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return unconnected(f"the proxy answered {error.status}", provider, name)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientSSLError):
        return unconnected(words_of(error, provider), provider, name)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return disconnected("it was closed before an answer", provider, name)
    if isinstance(error, aiohttp.ClientPayloadError):
        return disconnected("the answer was cut off", provider, name)
    if isinstance(error, aiohttp.ClientResponseError):
        return disconnected("what came is not HTTP", provider, name)
    return disconnected(words_of(error, provider), provider, name)


def _said(body: bytes) -> Any:
    text = body.decode("utf-8", "replace").strip()
    try:
        said = msgspec.json.decode(text)
    except UNREADABLE:
        return text
    return cast("dict[str, Any]", said).get("error", said) if isinstance(said, dict) else said


def _named(error: Any) -> tuple[str, str]:
    """The code and the type of an error."""
    if not isinstance(error, dict):
        return "", ""
    fields = cast("dict[str, Any]", error)
    code, kind = fields.get("code"), fields.get("type")
    return str(code) if isinstance(code, str | int) else "", kind if isinstance(kind, str) else ""


def _refusal(code: str, kind: str, message: str) -> Refusal | None:
    """What only the code or the words tell."""
    if code in _QUOTA or kind in _QUOTA:
        return "quota"
    if code == "context_length_exceeded" or any(words in message.lower() for words in _TOO_LONG_A_PROMPT):
        return "context"
    if code == "model_not_found":
        return "not-found"
    return "credentials" if code == "invalid_api_key" else None


def _numeric(code: str) -> int | None:
    """Some gateways give the status itself as the code."""
    return int(code) if code.isdecimal() and code.isascii() and 400 <= int(code[:4]) < 600 and len(code) == 3 else None


def _suggestion(provider: Provider, name: str) -> str | None:
    """A known name that is close to the one the provider does not know."""
    known = [known for known in known_model_names() if known.startswith(f"{provider.name}:")]
    close = get_close_matches(name, known, n=1, cutoff=0.8)
    return close[0] if close and close[0] != name else None


def _retry_after(headers: Any) -> float | None:
    """Seconds to wait before the call may be repeated."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said: str | None = headers.get("retry-after")
    if said is None:
        return None
    if said.strip().lstrip("+-").isdecimal():
        return _number(said)
    try:
        when = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def _number(said: str | None) -> float | None:
    try:
        number = float(said) if said is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
