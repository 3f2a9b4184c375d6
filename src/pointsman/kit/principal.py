"""Who is calling: the key, its scopes and the tenant it works in; made by the edge, read by guards and services."""

from __future__ import annotations

from dataclasses import dataclass

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    `owner_id` is the key's tenant, None for an operator key. `tenant` is the tenant it works in:
    its owner, or the one an operator named with `X-Pointsman-Tenant`, else None (the operator's own).
    """

    key_id: int
    key_name: str
    owner_id: str | None
    scopes: frozenset[str]
    tenant: str | None

    @property
    def is_operator(self) -> bool:
        """Whether the key belongs to no tenant."""
        return self.owner_id is None

    @property
    def tenant_key(self) -> str:
        """The working tenant as companion tables store it: the operator's own tenant is the empty string."""
        return self.tenant or ""

    @property
    def visible_tenant(self) -> str | None:
        """The only tenant whose rows may be seen, as stored; None means all (an operator that named no tenant)."""
        return None if self.owner_id is None and self.tenant is None else self.tenant_key

    def may(self, scope: str) -> bool:
        """Whether the key holds this scope; `admin` holds all."""
        return ADMIN in self.scopes or scope in self.scopes
