"""Puts the application together: routes, their policies, the OpenAPI document, and the door in front of it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastapi import APIRouter
from starlette.routing import BaseRoute

from pointsman.api.door import Door
from pointsman.api.health import Health
from pointsman.api.openapi import document
from pointsman.api.policies import POLICIES, Policy
from pointsman.api.ports import Gateway
from pointsman.api.routing import RouteTable


def create_app(gateway: Gateway, routers: Iterable[APIRouter | BaseRoute], policies: Mapping[str, Policy] = POLICIES) -> Door:
    """The ASGI application of a process. Raises RouteRefusedError for a route without a policy.

    `routers` are the slices' `APIRouter`s and `DescribedRoute`s. The caller opens and closes the gateway; no lifespan is run.
    """
    health = Health(gateway)
    table = RouteTable([*health.routes(), *flatten(routers)], policies)
    health.describe = lambda: document(table.endpoints)
    return Door(gateway, table)


def flatten(routers: Iterable[APIRouter | BaseRoute]) -> list[BaseRoute]:
    """The routes of the slices; their paths are whole, so that nothing has to be put before them."""
    routes: list[BaseRoute] = []
    for router in routers:
        routes.extend(router.routes if isinstance(router, APIRouter) else [router])
    return routes
