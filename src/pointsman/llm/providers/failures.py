"""Turns whatever an SDK raises into a `ModelProblem` that says what happened, whether it may pass, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import httpx2
import msgspec
from pydantic_ai import exceptions as sdk

from pointsman.llm.connections import BrokenOff, Silence
from pointsman.llm.errors import (
    InvalidModelCall,
    ModelAnswerInvalid,
    ModelContentFiltered,
    ModelCredentials,
    ModelProblem,
    ModelRateLimited,
    ModelRejected,
    ModelSettingUnsupported,
    ModelTimeout,
    ModelUnavailable,
)
from pointsman.llm.names import Provider
from pointsman.llm.scrubbing import scrub

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
_TRANSIENT = frozenset({408, 409, 425, 429})
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
    return transport is None or isinstance(transport, Silence | BrokenOff)


def _made(error: Exception, provider: Provider, model: str) -> ModelProblem:
    name = f"{provider.name}:{model}"
    if isinstance(error, sdk.ModelHTTPError):
        return _answered(error, provider, name)
    transport = _transport(error)
    if transport is not None:
        return _unreached(transport, provider, name)
    return _other(error, provider, name)


def timed_out(provider: Provider, name: str, limit: Literal["connect", "first_byte", "idle", "total"], *, may_pass: bool) -> ModelTimeout:
    """A limit ran out."""
    seconds = getattr(provider.limits, limit).total_seconds()
    what = {
        "connect": "No connection could be opened",
        "first_byte": "The provider accepted the call and sent nothing",
        "idle": "The answer began and then nothing more came",
        "total": "The call was not finished",
    }[limit]
    return ModelTimeout(
        f"{name}: {what} within the limit of {seconds:g} s.",
        hint=f"{provider.variable(limit)} sets this limit.",
        limit=limit,
        model=name,
        transient=may_pass,
    )


def _transport(error: Exception) -> httpx2.TransportError | None:
    return next((cause for cause in _chain(error) if isinstance(cause, httpx2.TransportError)), None)


def _unreached(error: httpx2.TransportError, provider: Provider, name: str) -> ModelProblem:
    if isinstance(error, Silence):
        return timed_out(provider, name, error.limit, may_pass=False)
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return timed_out(provider, name, "connect", may_pass=True)
    if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):
        # The library's text quotes the header, hence the key.
        return ModelCredentials(
            f"{name}: the call could not be sent: the key or the base URL holds what no HTTP request may carry.",
            hint=f"See the provider's key and {provider.variable('base_url')}.",
            model=name,
        )
    hint = f"Is its base URL right? {provider.variable('base_url')} sets it." if provider.own_address else ""
    if isinstance(error, httpx2.ConnectError):
        return ModelUnavailable(f"{name}: no connection: {_words(error, provider)}.", hint=hint, model=name)
    return ModelUnavailable(f"{name}: the connection broke: {_words(error, provider)}.", hint=hint, model=name)


def _answered(error: sdk.ModelHTTPError, provider: Provider, name: str) -> ModelProblem:
    status = error.status_code
    how = "broke off its answer with" if error.in_stream else "answered"
    said = f"{name}: the provider {how} {status}: {scrub(_message(error), _secret(provider))}"
    shown: dict[str, Any] = {"model": name, "upstream_status": status}
    if isinstance(error, sdk.ModelQuotaExceededError):
        return ModelRejected(said, hint="The provider says that the account's quota or credit is used up.", **shown)
    if isinstance(error, sdk.ModelAuthenticationError) or status in {401, 403}:
        return ModelCredentials(said, hint=_key_hint(provider), **shown)
    if status == 429:
        return ModelRateLimited(said, retry_after=error.retry_after, **shown)
    if status in _TRANSIENT or status >= 500:
        return ModelUnavailable(said, retry_after=error.retry_after, transient=status != 501, **shown)
    hint = ""
    if isinstance(error, sdk.ModelContextWindowExceededError):
        hint = "The prompt is longer than the model's context: shorten it, or keep less history (`num_history_runs`)."
    elif isinstance(error, sdk.ModelNotFoundError):
        close = f"Did you mean {error.suggested_model_id}? " if error.suggested_model_id else ""
        hint = f"{close}`GET /v2/models` lists models; a wrong base URL looks the same."
    return ModelRejected(said, hint=hint, **shown)


def _other(error: Exception, provider: Provider, name: str) -> ModelProblem:
    """An error without a status: said inside a stream, or an answer that makes no sense."""
    for library, problem in _CATEGORIES:
        if isinstance(error, library):
            retry_after: float | None = getattr(error, "retry_after", None)
            return problem(f"{name}: {_words(error, provider)}", retry_after=retry_after, model=name)
    if "ended without a `finish_reason`" in str(error):
        return ModelAnswerInvalid(f"{name}: the answer broke off before its finish reason.", model=name)
    return ModelAnswerInvalid(
        f"{name}: the answer is not what this provider's API sends: {_words(error, provider)}",
        hint=f"Is the base URL that of an API? {provider.variable('base_url')} sets it.",
        model=name,
    )


def _words(error: BaseException, provider: Provider) -> str:
    """The error's own text; of a transport's error the operating system's, which says more."""
    cause = next((cause for cause in _chain(error) if isinstance(cause, OSError) and cause.strerror), None)
    text = cause.strerror if cause is not None else str(error)
    return scrub(text or type(error).__name__, _secret(provider)).rstrip(".")


def _message(error: sdk.ModelHTTPError) -> str:
    """The provider's own sentence, where its body has one in a known place."""
    body = error.body
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            return body
    for _ in range(2):
        if isinstance(body, list) and body:
            body = cast("list[Any]", body)[0]
        if isinstance(body, dict):
            fields = cast("dict[str, Any]", body)
            if isinstance(fields.get("message"), str):
                return fields["message"]
            body = fields.get("error", fields.get("detail"))
    return body if isinstance(body, str) else "no message"


def _key_hint(provider: Provider) -> str:
    variable = provider.key_variable or provider.variable("api_key")
    return f"The operator sets the key with {variable}."


def _secret(provider: Provider) -> str | None:
    return provider.api_key.get_secret_value() if provider.api_key else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        seen += 1
        error = error.__cause__ or error.__context__
