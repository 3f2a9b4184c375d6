"""What can go wrong with prompts."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class PromptNotFound(Problem):
    """No active prompt has this id. A deleted prompt counts as absent, and its versions with it.

    `GET /v2/prompts?include_inactive=true` lists deleted prompts too; creating a prompt with the same id brings a deleted one back
    as its next version, with all earlier versions readable again.
    """

    kind = Kind.NOT_FOUND
    code = "prompt-not-found"
    title = "There is no such prompt"


class PromptExists(Problem):
    """An active prompt already has this id. Ids of prompts are chosen by the caller and are unique.

    Choose another id, or change the existing prompt with `PATCH /v2/prompts/{id}`, which makes a new version.
    """

    kind = Kind.CONFLICT
    code = "prompt-exists"
    title = "A prompt with this id exists"


class PromptVersionNotFound(Problem):
    """The prompt has no version of this number. `GET /v2/prompts/{id}/versions` lists those it has."""

    kind = Kind.NOT_FOUND
    code = "prompt-version-not-found"
    title = "There is no such version of the prompt"


class PromptLabelNotFound(Problem):
    """The prompt has no label of this name. `GET /v2/prompts/{id}/labels` lists those it has, `PUT` on a label sets it."""

    kind = Kind.NOT_FOUND
    code = "prompt-label-not-found"
    title = "There is no such label on the prompt"


class RenderedTooLong(Problem):
    """Filled with these variables the prompt would grow past what the gateway builds in memory.

    Send shorter variables, or use a placeholder fewer times.
    """

    kind = Kind.TOO_LARGE
    code = "prompt-too-long"
    title = "The filled prompt is too long"
