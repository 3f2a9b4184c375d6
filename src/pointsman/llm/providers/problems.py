"""What a provider's refusals and failures are called: the sentences and classes that all adapters share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import msgspec

from pointsman.llm.errors import (
    ModelAnswerInvalid,
    ModelCredentials,
    ModelProblem,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from pointsman.llm.names import Provider
from pointsman.llm.scrubbing import scrub

Refusal = Literal["quota", "credentials", "context", "not-found"]
_TRANSIENT = frozenset({408, 409, 425, 429})


class Refused(msgspec.Struct, frozen=True):
    """An HTTP status at or above 400, or the same error said inside a stream; `refusal` is what only its code or words tell."""

    status: int
    body: Any
    refusal: Refusal | None = None
    retry_after: float | None = None
    suggestion: str | None = None
    in_stream: bool = False


def refused(answer: Refused, provider: Provider, name: str) -> ModelProblem:
    """The problem that a provider's refusal amounts to."""
    how = "broke off its answer with" if answer.in_stream else "answered"
    status = answer.status
    said = f"{name}: the provider {how} {status}: {scrub(message_in(answer.body), secret_of(provider))}"
    shown: dict[str, Any] = {"model": name, "upstream_status": status}
    if answer.refusal == "quota":
        return ModelRejected(said, hint="The provider says that the account's quota or credit is used up.", **shown)
    if answer.refusal == "credentials" or status in {401, 403}:
        return ModelCredentials(said, hint=_key_hint(provider), **shown)
    if status == 429:
        return ModelRateLimited(said, retry_after=answer.retry_after, **shown)
    if status in _TRANSIENT or status >= 500:
        return ModelUnavailable(said, retry_after=answer.retry_after, transient=status != 501, **shown)
    hint = ""
    if answer.refusal == "context":
        hint = "The prompt is longer than the model's context: shorten it, or keep less history (`num_history_runs`)."
    elif answer.refusal == "not-found" or status == 404:
        close = f"Did you mean {answer.suggestion}? " if answer.suggestion else ""
        hint = f"{close}`GET /v2/models` lists models; a wrong base URL looks the same."
    return ModelRejected(said, hint=hint, **shown)


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


def unsendable(provider: Provider, name: str) -> ModelCredentials:
    """No HTTP request can be made of the key or the base URL. A library's own text would quote the header, hence the key."""
    return ModelCredentials(
        f"{name}: the call could not be sent: the key or the base URL holds what no HTTP request may carry.",
        hint=f"See the provider's key and {provider.variable('base_url')}.",
        model=name,
    )


def unconnected(words: str, provider: Provider, name: str) -> ModelUnavailable:
    """No connection could be opened."""
    return ModelUnavailable(f"{name}: no connection: {words}.", hint=_address_hint(provider), model=name)


def disconnected(words: str, provider: Provider, name: str) -> ModelUnavailable:
    """The connection broke before the answer was whole."""
    return ModelUnavailable(f"{name}: the connection broke: {words}.", hint=_address_hint(provider), model=name)


def unfinished(name: str) -> ModelAnswerInvalid:
    """The answer ended before the model said that it was finished."""
    return ModelAnswerInvalid(f"{name}: the answer broke off before its finish reason.", model=name)


def unreadable(words: str, provider: Provider, name: str) -> ModelAnswerInvalid:
    """The answer makes no sense."""
    return ModelAnswerInvalid(
        f"{name}: the answer is not what this provider's API sends: {words}",
        hint=f"Is the base URL that of an API? {provider.variable('base_url')} sets it.",
        model=name,
    )


def reached(problem: ModelProblem) -> ModelProblem:
    """The problem, of a call that the provider had taken."""
    problem.reached = True
    return problem


def words_of(error: BaseException, provider: Provider) -> str:
    """The error's own text; of a transport's error the operating system's, which says more."""
    cause = next((cause for cause in chain(error) if isinstance(cause, OSError) and cause.strerror), None)
    text = cause.strerror if cause is not None else str(error)
    return scrub(text or type(error).__name__, secret_of(provider)).rstrip(".")


def message_in(body: Any) -> str:
    """The provider's own sentence, where the body of its refusal has one in a known place."""
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


def secret_of(provider: Provider) -> str | None:
    """The provider's key, to be taken out of what is shown."""
    return provider.api_key.get_secret_value() if provider.api_key else None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        seen += 1
        error = error.__cause__ or error.__context__


def _key_hint(provider: Provider) -> str:
    variable = provider.key_variable or provider.variable("api_key")
    return f"The operator sets the key with {variable}."


def _address_hint(provider: Provider) -> str:
    return f"Is its base URL right? {provider.variable('base_url')} sets it." if provider.own_address else ""
