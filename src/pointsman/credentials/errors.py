"""What can go wrong with users' tokens."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class TokenNotFound(Problem):
    """The user has no active token under this integration key. A deleted one counts as absent, and those of other tenants look the same.

    `GET /v2/users/{user_id}/tokens` lists them.
    """

    kind = Kind.NOT_FOUND
    code = "token-not-found"
    title = "There is no such token"


class TokenDataInvalid(Problem):
    """The token's data does not hold what its type needs.

    An `oauth2` token has `access_token` (and `refresh_token`, if it is to be kept fresh), an `api_key` has `api_key`, a `jwt` has `token`;
    each is a text without spaces or line breaks.
    """

    kind = Kind.INVALID
    code = "token-data-invalid"
    title = "The token's data is not usable"
