"""Every route has a policy, or nothing starts."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Mount, Route
from tests.api.edge_scene import SMALL, SmallGateway, routes, ticks

from pointsman.api.app import create_app
from pointsman.api.policies import POLICIES, PUBLIC, policy_of, scope
from pointsman.api.routing import RouteRefusedError, RouteTable
from pointsman.web.openapi import DescribedRoute


async def test_a_route_without_a_policy_does_not_start(gateway: SmallGateway) -> None:
    router = APIRouter()

    @router.get("/v2/forgotten/{thing}")
    async def forgotten(thing: str) -> None:
        """Forgotten."""
        del thing

    with pytest.raises(RouteRefusedError, match=r"GET /v2/forgotten/\{thing\} has no policy"):
        create_app(gateway, [router])
    create_app(gateway, [router], {**POLICIES, "GET /v2/forgotten/{id}": PUBLIC})


@pytest.mark.parametrize(
    "route", [Mount("/x", app=FastAPI()), Route("/v2/ticks/{n:int}", ticks), Route("/v2/ticks/{n}.json", ticks), Route("/{p:path}", ticks)]
)
def test_a_route_that_no_policy_can_be_enforced_for_does_not_start(route: Route) -> None:
    with pytest.raises(RouteRefusedError):
        RouteTable([route], {"GET /v2/ticks/{n}": PUBLIC})


def test_two_routes_for_one_thing_do_not_start() -> None:
    with pytest.raises(RouteRefusedError, match="Two routes"):
        RouteTable([*routes, routes[0]], SMALL)


def test_a_policy_goes_by_the_shape_of_a_path() -> None:
    assert policy_of("GET", "/v2/agents/{whatever}") == scope("agents:read")
    assert policy_of("PUT", "/v2/agents/{id}") is None


def test_a_name_goes_before_a_parameter_and_a_dead_end_is_left() -> None:
    paths = ["/a/b", "/a/{x}", "/a/{x}/c"]
    operation = routes[0].operation
    table = RouteTable([DescribedRoute("GET", path, ticks, operation) for path in paths], {f"GET {path}": PUBLIC for path in paths})

    def template_of(path: bytes) -> tuple[str, tuple[str, ...]] | None:
        found = table.find(path)
        return found and (found.endpoints["GET"].template, found.values)

    assert template_of(b"/a/b") == ("/a/b", ())
    assert template_of(b"/a/z") == ("/a/{x}", ("z",))
    assert template_of(b"/a/b/c") == ("/a/{x}/c", ("b",))
    assert template_of(b"/a/") is None
    assert template_of(b"//a/b") is None
    assert template_of(b"/a/b/d") is None
