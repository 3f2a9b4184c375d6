"""What can go wrong with the log of changes."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class AuditVerifyForbidden(Problem):
    """Only an operator key that works in no tenant can verify the log: the chain runs through the entries of all tenants.

    Use such a key, or `pointsman audit verify` on the server.
    """

    kind = Kind.FORBIDDEN
    code = "audit-verify-forbidden"
    title = "The whole log can only be verified by an operator"
