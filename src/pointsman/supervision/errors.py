"""How a supervised run can fail by its own doing."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class ClassificationInvalid(Problem):
    """The leader of a supervising team did not say what the request is, also after it was told what was wrong with its first answer.

    The detail names the places. Use a model with structured output for the leader, and keep its prompt to whom it leads and how it
    decides: the schema is given to the model by Pointsman.
    """

    kind = Kind.UPSTREAM
    code = "classification-invalid"
    title = "The leader's classification cannot be used"


class WorkspaceInvalid(Problem):
    """The attachment that is to be the workspace of the jobs cannot be used: it is no tar archive, there are two of them, or it has a URL.

    Send one attachment of the media type `application/x-tar`, with its bytes as base64 in `data`.
    """

    kind = Kind.INVALID
    code = "workspace-invalid"
    title = "The workspace cannot be used"
