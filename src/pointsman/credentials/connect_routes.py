"""Routes of connects: two for who has a key, and the pages on which a user with a browser and no key goes to the provider and back."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Body, Depends, Path, Response
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse

from pointsman.credentials import connect_pages as pages
from pointsman.credentials.connecting import LINK_LASTS, ConnectService, cookie_of
from pointsman.credentials.consent import ADDRESS, Returned
from pointsman.credentials.schemas import ConnectCreate, ConnectIssued, ConnectRead
from pointsman.kit.ids import CHOSEN_ID
from pointsman.web.deps import Caller, provided, service
from pointsman.web.forms import read_form
from pointsman.web.openapi import HTML, LOCATION, Answer, DescribedRoute, Operation, Parameter

router = APIRouter(tags=["tokens"])

Connects = Annotated[ConnectService, Depends(provided(ConnectService))]
UserId = Annotated[str, Path(pattern=CHOSEN_ID, max_length=255, description="A user of the caller's tenant.")]
ProviderName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$", description="An OAuth provider, such as github.")]
ConnectId = Annotated[str, Path(pattern=CHOSEN_ID, max_length=40)]
Wanted = Annotated[ConnectCreate | None, Body()]

_LONGEST = 4096
_HEADERS = {"cache-control": "no-store", "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'"}


@router.post("/v2/users/{user_id}/tokens/connect/{provider}", status_code=201, responses={201: {"headers": LOCATION}})
async def create_connect(
    user_id: UserId, provider: ProviderName, connects: Connects, caller: Caller, response: Response, body: Wanted = None
) -> ConnectIssued:
    """Open a way for a user to connect an account: `url` is a page for the user's browser, good once and for 15 minutes."""
    issued = await connects.create_connect(caller, user_id, provider, body or ConnectCreate())
    response.headers["Location"] = f"/v2/users/{user_id}/connects/{issued.id}"
    return issued


@router.get("/v2/users/{user_id}/connects/{connect_id}")
async def read_connect(user_id: UserId, connect_id: ConnectId, connects: Connects, caller: Caller) -> ConnectRead:
    """Read what came of a connect."""
    return await connects.require_connect(caller, user_id, connect_id)


async def show_connect(request: Request) -> Response:
    """For whom an account is to be connected, and a button."""
    connects = service(request, ConnectService)
    base = urlsplit(connects.base_url())
    asked = await connects.ask(request.path_params["start"], request.cookies)
    response = HTMLResponse(pages.asking(asked), headers=_HEADERS)
    response.set_cookie(
        cookie_of(asked.row),
        asked.browser,
        max_age=2 * int(LINK_LASTS.total_seconds()),
        path=base.path + ADDRESS,
        secure=base.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return response


async def begin_connect(request: Request) -> Response:
    """Send the browser that was shown the page to the provider."""
    form = read_form(await request.body()).get("form", "")
    provider, url = await service(request, ConnectService).begin(request.path_params["start"], request.cookies, form)
    return HTMLResponse(pages.going(provider, url), headers=_HEADERS)


async def finish_connect(request: Request) -> Response:
    """Take the provider's answer, and say what came of it."""
    provider, row = await service(request, ConnectService).finish(
        request.path_params["provider"], _returned(request.query_params), request.cookies
    )
    response = HTMLResponse(pages.done(provider, row), headers=_HEADERS)
    response.delete_cookie(cookie_of(row), path=urlsplit(service(request, ConnectService).base_url()).path + ADDRESS)
    return response


def _returned(query: QueryParams) -> Returned:
    """What is there more than once, or is longer than any provider's, counts as not there."""
    values = {name: query.getlist(name) for name in ("state", "code", "error", "iss")}
    once = {name: found[0] for name, found in values.items() if len(found) == 1 and 0 < len(found[0]) <= _LONGEST}
    return Returned(once.get("state", ""), once.get("code"), once.get("error"), once.get("iss"))


_PAGE = {200: Answer("A page for a person.", media=HTML)}
routes = [
    DescribedRoute(
        "GET",
        "/v2/connect/{start}",
        show_connect,
        Operation(
            id="show_connect", summary="Show for whom an account is to be connected.", tag="tokens", answers=_PAGE, problems=(403, 409)
        ),
    ),
    DescribedRoute(
        "POST",
        "/v2/connect/{start}",
        begin_connect,
        Operation(id="begin_connect", summary="Go to the provider, from that page.", tag="tokens", answers=_PAGE, problems=(403, 409)),
    ),
    DescribedRoute(
        "GET",
        "/v2/connect/{provider}/callback",
        finish_connect,
        Operation(
            id="finish_connect",
            summary="Come back from the provider.",
            tag="tokens",
            answers=_PAGE,
            parameters=tuple(Parameter(name, "query", "Of the provider.") for name in ("state", "code", "error", "iss")),
            problems=(403, 409, 502),
        ),
    ),
]
