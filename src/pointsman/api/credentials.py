"""Who is calling: the key from the headers, the tenant it works in, and whether a policy lets it pass."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.access.authenticate import AuthenticatedKey
from pointsman.access.errors import Unauthenticated
from pointsman.api.policies import Policy
from pointsman.api.problems import MalformedRequest
from pointsman.kit.ids import is_chosen_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest, Kind, Problem

_TENANT = b"x-pointsman-tenant"
_HINT = "Send `Authorization: Bearer pm_…` or `X-API-Key: pm_…`."


class ScopeMissing(Problem):
    """The key works, but it does not hold the scope that this route asks for; the detail names it.

    Use a key that holds the scope, or have somebody with `keys:write` add it to this one. `GET /v2/whoami` shows what a key holds.
    """

    kind = Kind.FORBIDDEN
    code = "scope-missing"
    title = "The key lacks the scope"


class TenantNotYours(Problem):
    """Only operator keys, which belong to no tenant, may name a tenant with `X-Pointsman-Tenant`; another key works in its own.

    Leave the header out, or use an operator key.
    """

    kind = Kind.FORBIDDEN
    code = "tenant-not-yours"
    title = "The tenant is not this key's to choose"


def presented_key(headers: Mapping[bytes, bytes]) -> str:
    """The key that the request carries. Raises Unauthenticated, or MalformedRequest when it carries two."""
    bearer, other = _bearer(headers), headers.get(b"x-api-key")
    if bearer is not None and other is not None and bearer != other.strip():
        raise MalformedRequest("Authorization and X-API-Key carry different keys.", hint="Send one of them.")
    presented = bearer if bearer is not None else other
    if presented is None:
        raise Unauthenticated("The request carries no API key.", hint=_HINT)
    return presented.strip().decode("latin-1")


def principal_of(key: AuthenticatedKey, headers: Mapping[bytes, bytes]) -> Principal:
    """The caller. Raises TenantNotYours or InvalidRequest for a tenant that cannot be."""
    named = headers.get(_TENANT)
    tenant = key.owner_id if named is None else _tenant(key, named.strip().decode("latin-1"))
    return Principal(key_id=key.id, key_name=key.name, owner_id=key.owner_id, scopes=key.scopes, tenant=tenant)


def require_scope(policy: Policy, principal: Principal) -> None:
    """Raise ScopeMissing unless the caller holds one of the scopes that the policy names."""
    if policy.scopes and not any(principal.may(scope) for scope in policy.scopes):
        raise ScopeMissing(
            f"This route asks for the scope {' or '.join(policy.scopes)}.",
            hint="Use a key that holds it; GET /v2/whoami shows what a key holds.",
            scopes=list(policy.scopes),
        )


def _bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    authorization = headers.get(b"authorization")
    if authorization is None:
        return None
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not credentials.strip():
        raise Unauthenticated("The Authorization header is no bearer token.", hint=_HINT)
    return credentials.strip()


def _tenant(key: AuthenticatedKey, named: str) -> str:
    if key.owner_id is not None:
        raise TenantNotYours(hint="Leave X-Pointsman-Tenant out, or use an operator key.")
    if not is_chosen_id(named):
        message = "A tenant is 1 to 255 letters, digits, `_`, `.` or `-`, beginning with a letter or digit."
        raise InvalidRequest(message, errors=(FieldError("/header/X-Pointsman-Tenant", message),))
    return named
