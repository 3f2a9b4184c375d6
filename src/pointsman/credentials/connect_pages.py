"""The pages of a connect: for whom it is, the way to the provider, and that it is done. Everything that others wrote is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pointsman.credentials.connecting import Asked
from pointsman.credentials.providers import Provider
from pointsman.kit.db import Record

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
{head}<title>{title}</title></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
_ASKS = """<p>The agents of this gateway would act at <strong>{provider}</strong> for one user:</p>
<dl><dt>User</dt><dd><strong>{user}</strong></dd><dt>Tenant</dt><dd>{tenant}</dd><dt>Known as</dt><dd>{key}</dd><dt>What is asked for</dt>
<dd>{scopes}</dd></dl>
<p>If you are not <strong>{user}</strong>, or nobody told you to expect this, close this page: your account would serve somebody else.</p>
<form method="post"><input type="hidden" name="form" value="{form}"><p><button>Continue to {provider}</button></p></form>"""
_GOES = """<p>You are being sent to {provider}. <a href="{url}" rel="noreferrer">Continue to {provider}</a> if nothing happens.</p>"""
_DONE = """<p><strong>{provider}</strong> is connected for user <strong>{user}</strong> (tenant {tenant}) as {key}.</p>
<p>You can close this page.</p>"""


def asking(asked: Asked) -> str:
    """The page behind a link."""
    title = escape(asked.provider.title)
    body = _ASKS.format(provider=title, scopes=_listed(asked.row["scopes"]), form=escape(asked.form), **_whose(asked.row))
    return _PAGE.format(title=f"Connect {title}?", head="", body=body)


def going(provider: Provider, url: str) -> str:
    """On the way to the provider; a redirect of the form itself would be held to the form's own origin."""
    title, address = escape(provider.title), escape(url)
    head = f'<meta http-equiv="refresh" content="0;url={address}">\n'
    return _PAGE.format(title=f"To {title}", head=head, body=_GOES.format(provider=title, url=address))


def done(provider: Provider, row: Record) -> str:
    """It is connected."""
    title = escape(provider.title)
    return _PAGE.format(title=f"{title} is connected", head="", body=_DONE.format(provider=title, **_whose(row)))


def _whose(row: Record) -> dict[str, str]:
    tenant = row["tenant_id"] or "none: the operator's own"
    return {"user": escape(row["user_id"]), "tenant": escape(tenant), "key": escape(row["integration_key"])}


def _listed(scopes: Sequence[str]) -> str:
    return ", ".join(f"<code>{escape(scope)}</code>" for scope in scopes) or "whatever you grant there"
