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


class TokenExpired(Problem):
    """The token has expired, and there is nothing to refresh it with.

    Store a new one with `PUT /v2/users/{user_id}/tokens/{integration_key}`.
    """

    kind = Kind.CONFLICT
    code = "token-expired"
    title = "The token has expired"


class TokenNotRefreshable(Problem):
    """Only an `oauth2` token with a `refresh_token` can be refreshed.

    Store a new one with `PUT /v2/users/{user_id}/tokens/{integration_key}`.
    """

    kind = Kind.CONFLICT
    code = "token-not-refreshable"
    title = "The token cannot be refreshed"


class TokenReauthRequired(Problem):
    """The provider no longer knows the grant behind the token, or refreshes were cut off so often that it may not: the user consents anew.

    Nothing is asked of the provider until a new token is stored under the same integration key.
    """

    kind = Kind.CONFLICT
    code = "token-reauth-required"
    title = "The user has to connect anew"


class TokenRefreshing(Problem):
    """Another replica has the token's refresh in hand, and it took longer than this request waits. Try again in a moment."""

    kind = Kind.UNAVAILABLE
    code = "token-refreshing"
    title = "The token is being refreshed"


class RunWithoutUser(Problem):
    """A tool uses the credential of the user for whom the run acts, and the run names no user.

    Name one as `user_id` in the request that begins the run.
    """

    kind = Kind.CONFLICT
    code = "run-without-user"
    title = "The run has no user"


class UserNotConnected(Problem):
    """A tool uses a credential that the user for whom the run acts has not given to the gateway.

    The user connects at the address that `POST /v2/users/{user_id}/tokens/connect/{provider}` gives, or somebody stores the credential
    with `PUT /v2/users/{user_id}/tokens/{integration_key}`. Then the tool can be called again.
    """

    kind = Kind.CONFLICT
    code = "user-not-connected"
    title = "The user has not connected this"


class OAuthProviderNotFound(Problem):
    """No OAuth provider has this name, so a token of it can be stored and used, but not refreshed.

    The catalogue knows google, microsoft, slack, github, notion and atlassian; an operator adds others by `POINTSMAN_OAUTH__<NAME>__…`.
    """

    kind = Kind.CONFLICT
    code = "oauth-provider-not-found"
    title = "There is no such OAuth provider"


class OAuthProviderNotConfigured(Problem):
    """The OAuth provider is known, but the gateway has no client at it.

    An operator registers one there and sets `POINTSMAN_OAUTH__<NAME>__CLIENT_ID` and `POINTSMAN_OAUTH__<NAME>__CLIENT_SECRET`.
    """

    kind = Kind.CONFLICT
    code = "oauth-provider-not-configured"
    title = "The OAuth provider has no client here"


class OAuthProviderFailed(Problem):
    """The OAuth provider could not be reached or answered with 429 or 5xx. It is asked again after a while that grows with each failure.

    Try again after `Retry-After`.
    """

    kind = Kind.UNAVAILABLE
    code = "oauth-provider-failed"
    title = "The OAuth provider failed"


class OAuthProviderRefused(Problem):
    """The OAuth provider refused the gateway's own request: the client's id or secret is wrong, or it answered with something else.

    The grant itself may be sound. An operator checks the client's settings at the provider.
    """

    kind = Kind.UPSTREAM
    code = "oauth-provider-refused"
    title = "The OAuth provider refused"
