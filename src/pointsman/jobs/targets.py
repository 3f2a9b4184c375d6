"""Which targets a tenant's jobs may go to."""

from __future__ import annotations

from collections.abc import Collection

EVERYBODY = "*"
LOCAL = "local"


def is_open_to(target_id: str, tenants: Collection[str] | None, tenant_id: str) -> bool:
    """Whether a target takes jobs of the tenant; `tenants` is its `connection_config.tenants`, None where nothing is said.

    The operator's own tenant (the empty text) may use all. The target `local` is open to everybody unless it names tenants.
    """
    if not tenant_id:
        return True
    if not tenants:
        return target_id == LOCAL
    return EVERYBODY in tenants or tenant_id in tenants
