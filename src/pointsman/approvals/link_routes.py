"""Routes of links: a GET only shows, a POST with the page's form token decides."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pointsman.approvals import pages
from pointsman.approvals.errors import ApprovalLinkInvalid
from pointsman.approvals.link_service import LinkService
from pointsman.approvals.links import Link
from pointsman.approvals.schemas import Choice
from pointsman.web.deps import service
from pointsman.web.forms import read_form
from pointsman.web.openapi import Answer, DescribedRoute, Operation, Parameter

_LONGEST_NOTE = 2000
# The page has a form that goes back to where it came from, and nothing else.
_HEADERS = {"cache-control": "no-store", "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'"}


async def show_link(request: Request) -> Response:
    """What would be called, and a form; nothing is decided by looking."""
    link = _link(request)
    approval, token = await service(request, LinkService).show(link)
    page = pages.done(approval) if token is None else pages.asking(approval, link.choice, token)
    return HTMLResponse(page, headers=_HEADERS)


async def decide_by_link(request: Request) -> Response:
    """Decide as the link allows."""
    link = _link(request)
    form = read_form(await request.body())
    note = form.get("note", "").replace("\x00", "").strip()[:_LONGEST_NOTE] or None
    approval = await service(request, LinkService).decide(link, form.get("token", ""), note)
    return HTMLResponse(pages.done(approval), headers=_HEADERS)


def _link(request: Request) -> Link:
    query = request.query_params
    choice, expires = query.get("choice", ""), query.get("expires", "")
    if choice not in {"approve", "deny"} or not expires.isdecimal() or len(expires) > 12:
        raise ApprovalLinkInvalid("The link is not whole.", hint="Open it as it was sent.")
    return Link(request.path_params["approval_id"], cast("Choice", choice), int(expires), query.get("signature", ""))


_PARAMETERS = tuple(Parameter(name, "query", "Of the link.") for name in ("choice", "expires", "signature"))
_PAGE = {200: Answer("A page for a person.", media="text/html")}
routes = [
    DescribedRoute(
        "GET",
        "/v2/approvals/{approval_id}/link",
        show_link,
        Operation(
            id="show_approval_link",
            summary="Show what a signed link decides.",
            tag="approvals",
            answers=_PAGE,
            parameters=_PARAMETERS,
            problems=(403, 404),
        ),
    ),
    DescribedRoute(
        "POST",
        "/v2/approvals/{approval_id}/link",
        decide_by_link,
        Operation(
            id="decide_by_link",
            summary="Decide by a signed link, with the token of its page.",
            tag="approvals",
            answers=_PAGE,
            parameters=_PARAMETERS,
            problems=(403, 404, 409),
        ),
    ),
]
