"""Turns whatever an SDK raises into a `ModelProblem` that says what happened, whether it may pass, and never a secret."""

from __future__ import annotations

import httpx2
from pydantic_ai import exceptions as sdk

from pointsman.llm.connections import BrokenOff, Silence
from pointsman.llm.errors import (
    InvalidModelCall,
    ModelContentFiltered,
    ModelCredentials,
    ModelProblem,
    ModelRateLimited,
    ModelRejected,
    ModelSettingUnsupported,
    ModelUnavailable,
)
from pointsman.llm.names import Provider
from pointsman.llm.providers.problems import (
    Refusal,
    Refused,
    chain,
    disconnected,
    refused,
    timed_out,
    unconnected,
    unfinished,
    unreadable,
    unsendable,
    words_of,
)

# A provider's garbage surfaces from the SDKs as any of these; a defect of ours would too, and is logged with its cause.
UPSTREAM_FAILURES: tuple[type[Exception], ...] = (
    RuntimeError,  # the base of pydantic-ai's errors
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
)
# The first that fits; later ones are the bases of earlier ones.
_CATEGORIES: tuple[tuple[type[Exception], type[ModelProblem]], ...] = (
    (sdk.ContentFilterError, ModelContentFiltered),
    (sdk.UserError, ModelSettingUnsupported),
    (sdk.ModelRateLimitError, ModelRateLimited),
    (sdk.ModelAuthenticationError, ModelCredentials),
    (sdk.ModelUnavailableError, ModelUnavailable),
    (sdk.ModelServerError, ModelUnavailable),
    (sdk.ModelConnectionError, ModelUnavailable),
    (sdk.ModelQuotaExceededError, ModelRejected),
    (sdk.ModelRequestRejectedError, ModelRejected),
)
_REFUSALS: tuple[tuple[type[Exception], Refusal], ...] = (
    (sdk.ModelQuotaExceededError, "quota"),
    (sdk.ModelAuthenticationError, "credentials"),
    (sdk.ModelContextWindowExceededError, "context"),
    (sdk.ModelNotFoundError, "not-found"),
)


def as_problem(error: Exception, provider: Provider, model: str) -> ModelProblem:
    """The problem that an SDK's error amounts to."""
    if isinstance(error, ModelProblem):
        return error
    problem = _made(error, provider, model)
    problem.reached = _has_reached(error) and not isinstance(problem, InvalidModelCall)
    return problem


def _has_reached(error: Exception) -> bool:
    """Whether the provider took the call: it began to answer, or kept the connection and said nothing for as long as it may.

    A connection that broke before the first byte of an answer does not say so: the usual reason is that nobody served it.
    """
    if isinstance(error, sdk.ModelHTTPError):
        return error.in_stream
    transport = _transport(error)
    return isinstance(transport, Silence | BrokenOff) if transport is not None else not _is_beyond_ascii(error)


def _made(error: Exception, provider: Provider, model: str) -> ModelProblem:
    name = f"{provider.name}:{model}"
    if isinstance(error, sdk.ModelHTTPError):
        return refused(_refusal(error), provider, name)
    transport = _transport(error)
    if transport is not None:
        return _unreached(transport, provider, name)
    if _is_beyond_ascii(error):
        return unsendable(provider, name)
    return _other(error, provider, name)


def _is_beyond_ascii(error: Exception) -> bool:
    """A key with other characters, which no header is made of: it fails before anything is sent."""
    return any(isinstance(cause, UnicodeEncodeError) and cause.encoding == "ascii" for cause in chain(error))


def _transport(error: Exception) -> httpx2.TransportError | None:
    return next((cause for cause in chain(error) if isinstance(cause, httpx2.TransportError)), None)


def _unreached(error: httpx2.TransportError, provider: Provider, name: str) -> ModelProblem:
    if isinstance(error, Silence):
        return timed_out(provider, name, error.limit, may_pass=False)
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return timed_out(provider, name, "connect", may_pass=True)
    if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):
        return unsendable(provider, name)
    if isinstance(error, httpx2.ConnectError):
        return unconnected(words_of(error, provider), provider, name)
    return disconnected(words_of(error, provider), provider, name)


def _refusal(error: sdk.ModelHTTPError) -> Refused:
    refusals: list[Refusal] = [refusal for library, refusal in _REFUSALS if isinstance(error, library)]
    refusal = refusals[0] if refusals else None
    return Refused(error.status_code, error.body, refusal, error.retry_after, error.suggested_model_id, in_stream=error.in_stream)


def _other(error: Exception, provider: Provider, name: str) -> ModelProblem:
    """An error without a status: said inside a stream, or an answer that makes no sense."""
    for library, problem in _CATEGORIES:
        if isinstance(error, library):
            retry_after: float | None = getattr(error, "retry_after", None)
            return problem(f"{name}: {words_of(error, provider)}", retry_after=retry_after, model=name)
    if "ended without a `finish_reason`" in str(error):
        return unfinished(name)
    return unreadable(words_of(error, provider), provider, name)
