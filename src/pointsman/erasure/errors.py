"""Why nothing is erased."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class ExportRequired(Problem):
    """Erasing cannot be undone, so it takes the id of an export of the same user or tenant, not older than a week.

    Read `GET …/export` to its last line, which holds the `export_id`, and pass that on; or say `without_export=true`.
    """

    kind = Kind.CONFLICT
    code = "export-required"
    title = "There is no export of this data"


class DataInUse(Problem):
    """A run of this user or tenant is under way, and would go on writing.

    Cancel the run that is named, or wait for it, then ask again.
    """

    kind = Kind.CONFLICT
    code = "data-in-use"
    title = "The data is in use"


class ErasureForbidden(Problem):
    """A tenant is exported and erased by an operator key that works in no tenant.

    A key that a tenant owns, or one that names a tenant with `X-Pointsman-Tenant`, may export and erase the users of that tenant.
    """

    kind = Kind.FORBIDDEN
    code = "erasure-forbidden"
    title = "This key may not erase tenants"


class ErasureNotFound(Problem):
    """No erasure has this id, or it is another tenant's.

    The answer of `DELETE /v2/users/{user_id}/data` and `DELETE /v2/tenants/{tenant_id}` has the id.
    """

    kind = Kind.NOT_FOUND
    code = "erasure-not-found"
    title = "No such erasure"
