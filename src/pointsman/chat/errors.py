"""What can be wrong with a chat request, beyond its shape."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class VariablesMissing(Problem):
    """The agent's prompt has placeholders that `variables` does not fill; `missing` and `unused` name them.

    Give each missing name a value. A name in `unused` that resembles a missing one is probably a typo.
    """

    kind = Kind.INVALID
    code = "prompt-variables-missing"
    title = "The prompt needs variables"


class AttachmentInvalid(Problem):
    """An attachment cannot be used: its base64 is damaged, it has both or neither of `data` and `url`, or it is too large.

    Each attachment is `{media_type, data}` with base64, or `{media_type, url}`.
    """

    kind = Kind.INVALID
    code = "attachment-invalid"
    title = "The attachment cannot be used"
