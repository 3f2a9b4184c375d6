"""What can be wrong with an approval."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class ApprovalNotFound(Problem):
    """No approval has this id, or it belongs to another tenant.

    `GET /v2/approvals` lists those that the calling key may see. An approval goes with its run or job.
    """

    kind = Kind.NOT_FOUND
    code = "approval-not-found"
    title = "No such approval"


class ApprovalDecided(Problem):
    """The approval is not pending any more: somebody decided first, its time ran out, or its run or job has ended.

    `approval` is what it came to. A decision counts once, and cannot be changed.
    """

    kind = Kind.CONFLICT
    code = "approval-decided"
    title = "The approval is decided"


class ApprovalOwnRun(Problem):
    """The key that started the run or job may not decide what it asks for, unless it has the scope `admin`; nor may its successor.

    Decide with another key that holds `approvals:decide`.
    """

    kind = Kind.FORBIDDEN
    code = "approval-own-run"
    title = "This key started what it would decide about"


class ApprovalScopeMissing(Problem):
    """Decisions need a key with the scope `approvals:decide`, also where they come with `POST /v2/runs/{id}/resume`.

    Use a key that holds it. `GET /v2/whoami` shows what a key holds.
    """

    kind = Kind.FORBIDDEN
    code = "approval-scope-missing"
    title = "The key may not decide"


class ApprovalArgsDenied(Problem):
    """The edited arguments are something that the agent's permissions deny: nobody can approve that.

    The detail names the pattern. Edit the arguments otherwise, or deny the call.
    """

    kind = Kind.INVALID
    code = "approval-args-denied"
    title = "The edited arguments are denied"


class ApprovalLinkInvalid(Problem):
    """The link was cut or changed, its time is over, or links are not enabled here any more (`POINTSMAN_APPROVALS__LINKS_URL`).

    Open it as it was sent, or decide with `pointsman approvals` or `POST /v2/approvals/{id}/approve`.
    """

    kind = Kind.FORBIDDEN
    code = "approval-link-invalid"
    title = "The link cannot be used"


class ApprovalLinksDisabled(Problem):
    """Signed links are made only where the operator says at which address people reach the gateway.

    An operator sets `POINTSMAN_APPROVALS__LINKS_URL`. Until then decide with `pointsman approvals` or `POST /v2/approvals/{id}/approve`.
    """

    kind = Kind.CONFLICT
    code = "approval-links-disabled"
    title = "Links are not enabled"
