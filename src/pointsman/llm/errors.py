"""The problems of talking to a model; all codes begin with `model-`, none ever holds a secret."""

from __future__ import annotations

from typing import Any, ClassVar

from pointsman.kit.problems import Kind, Problem
from pointsman.llm.port import Spend, Usage


class ModelProblem(Problem):
    """A model could not be asked, or did not answer.

    `spent` has what was consumed before it failed; whoever catches the problem records it. The rest is for the retries inside this
    slice: `transient` says that the same call may succeed when repeated; `produced` counts the characters of output that came before
    the failure (None: none); `reported` is the usage that came all the same, `is_estimated` where it was not the last word; `reached`
    says that the provider had taken the call and may have worked on it, which it will bill whether or not it told us.
    """

    transient: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        hint: str = "",
        retry_after: float | None = None,
        spent: tuple[Spend, ...] = (),
        transient: bool | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(detail, hint=hint, retry_after=retry_after, **fields)
        self.spent = spent
        self.may_pass = self.transient if transient is None else transient
        self.produced: int | None = None
        self.reported: Usage | None = None
        self.reached = False


class InvalidModelCall(ModelProblem):
    """The call itself is wrong for this model; asking another model or later would not be what the caller meant."""


class ModelUnknown(InvalidModelCall):
    """The model name is not `provider:model`, or names a provider that does not exist here.

    The built-in providers are `openai`, `openai-responses`, `anthropic`, `google` and `scripted`; the operator adds
    OpenAI-compatible ones with `POINTSMAN_PROVIDERS__<NAME>__BASE_URL`. `GET /v2/models` lists what this gateway knows.
    """

    kind = Kind.INVALID
    code = "model-unknown"
    title = "No such model"


class ModelNotConfigured(InvalidModelCall):
    """The provider is known, but the operator has given no key for it, so nothing was sent.

    Set the variable that the hint names and start the gateway again, or use a model of a configured provider.
    """

    kind = Kind.INVALID
    code = "model-not-configured"
    title = "The model's provider is not configured"


class ModelSettingUnsupported(InvalidModelCall):
    """A model setting has no effect on this model, so it is refused rather than dropped silently.

    Leave the setting out, or choose a model that takes it. Reasoning models, for example, take no `temperature`.
    """

    kind = Kind.INVALID
    code = "model-setting-unsupported"
    title = "The model does not support that setting"


class ModelAttachmentRefused(InvalidModelCall):
    """The model does not take attachments of this media type.

    Convert the attachment, or choose a model that takes it. For a named provider the operator says what its models take:
    `POINTSMAN_PROVIDERS__<NAME>__CONTEXT_IMAGES` and `…__CONTEXT_PDF`.
    """

    kind = Kind.INVALID
    code = "model-attachment-refused"
    title = "The model does not take that attachment"


class ModelScriptInvalid(InvalidModelCall):
    """A `scripted:` model other than `scripted:echo` needs a valid `script` in the agent's config."""

    kind = Kind.INVALID
    code = "model-script-invalid"
    title = "The scripted model has no valid script"


class ModelUnavailable(ModelProblem):
    """The provider could not be reached, broke the connection or answered with a server error, also after retries.

    Try again later. When it persists, see whether the provider's status page knows of it and whether its base URL is right.
    """

    kind = Kind.UNAVAILABLE
    code = "model-unavailable"
    title = "The model's provider is unavailable"
    transient = True


class ModelTimeout(ModelProblem):
    """The provider was too slow for one of the limits: `connect`, `first_byte`, `idle` or `total`; the field `limit` says which.

    The hint names the variable that sets it for this provider.
    """

    kind = Kind.UPSTREAM_TIMEOUT
    code = "model-timeout"
    title = "The model did not answer in time"


class ModelRateLimited(ModelProblem):
    """The provider refused the call because of its own rate limit; `Retry-After` says when it may be tried again."""

    kind = Kind.UNAVAILABLE
    code = "model-rate-limited"
    title = "The model's provider limits the rate"
    transient = True


class ModelBusy(ModelProblem):
    """This process already has as many calls under way to the provider as the operator allows.

    Try again in a moment. `POINTSMAN_PROVIDERS__<NAME>__CONCURRENCY` sets the bound, which keeps a hung provider from
    taking the whole gateway with it.
    """

    kind = Kind.UNAVAILABLE
    code = "model-busy"
    title = "Too many calls to this provider are under way"


class ModelRejected(ModelProblem):
    """The provider understood the call and refused it; the detail has its own words.

    Usual causes: a model name that the provider does not have, a prompt longer than its context, a schema it does not accept.
    """

    kind = Kind.UPSTREAM
    code = "model-rejected"
    title = "The model's provider refused the call"


class ModelCredentials(ModelProblem):
    """The provider did not accept the gateway's key. This is for the operator to mend; the caller's own key is not concerned."""

    kind = Kind.UPSTREAM
    code = "model-credentials"
    title = "The provider refused the gateway's credentials"


class ModelAnswerInvalid(ModelProblem):
    """The provider's answer could not be read, or broke off before the model said that it was finished.

    A piece of an answer is never taken for the answer. Try again; when it persists, the base URL may not be an API's.
    """

    kind = Kind.UPSTREAM
    code = "model-answer-invalid"
    title = "The model's answer is not usable"


class ModelContentFiltered(ModelProblem):
    """The provider's content filter withheld the answer, or the model declined to give one."""

    kind = Kind.UPSTREAM
    code = "model-content-filtered"
    title = "The provider withheld the answer"
