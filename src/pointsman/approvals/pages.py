"""The page that a link shows: what would be called with which arguments, and one button; everything that others wrote is escaped."""

from __future__ import annotations

import json
from html import escape

from pointsman.approvals.rows import Approval
from pointsman.approvals.schemas import Choice

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex"><title>{title}</title></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
_ASKS = """<p>{reason}</p>
<dl><dt>Tool</dt><dd><code>{tool}</code></dd><dt>Risk</dt><dd>{risk}</dd>
<dt>Arguments</dt><dd><pre>{args}</pre></dd><dt>SHA-256</dt><dd><code>{digest}</code></dd><dt>Until</dt><dd>{until}</dd></dl>
<form method="post"><input type="hidden" name="token" value="{token}">
<p><label>Note <input name="note" maxlength="2000"></label></p><p><button>{verb}</button></p></form>"""
_VERBS: dict[Choice, str] = {"approve": "Approve this call", "deny": "Deny this call"}


def asking(approval: Approval, choice: Choice, token: str) -> str:
    """The page with the form."""
    body = _ASKS.format(
        reason=escape(approval.reason),
        tool=escape(approval.tool_name),
        risk=approval.risk_level,
        args=escape(json.dumps(approval.tool_args, ensure_ascii=False, indent=2)),
        digest=approval.args_sha256,
        until=approval.expires_at.isoformat(timespec="seconds"),
        token=escape(token),
        verb=_VERBS[choice],
    )
    return _PAGE.format(title=_VERBS[choice] + "?", body=body)


def done(approval: Approval) -> str:
    """The page once it is decided."""
    by = f" by {escape(approval.decided_by)}" if approval.decided_by else ""
    return _PAGE.format(
        title=f"The call is {approval.status}", body=f"<p><code>{escape(approval.tool_name)}</code>: {approval.status}{by}.</p>"
    )
