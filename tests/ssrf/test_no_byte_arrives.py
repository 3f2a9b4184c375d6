"""Every vector at every place that takes a URL, against listeners on loopback that stand for what is internal: no byte arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
from tests.ssrf.places import PLACES, Place, Said, World, opened_world
from tests.ssrf.vectors import REDIRECTS, VECTORS, address_of_this_host, hostile_names_of, written

from pointsman.api.problems import STATUS
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Problem
from pointsman.settings import Settings
from pointsman.tools.mcp.errors import McpServerFailed

each_place = pytest.mark.parametrize("place", [pytest.param(place, id=name) for name, place in PLACES.items()])


@pytest.fixture
async def world(db: Database, owner: Connection, settings: Settings) -> AsyncGenerator[World]:
    async with opened_world(db, owner, settings) as world:
        world.net.names.known |= hostile_names_of(address_of_this_host())
        yield world


def wrong_with(said: Said | None, world: World, place: Place) -> str:
    """What is wrong with how a place took a vector; empty where nothing is."""
    if world.reached:
        return "it got through"
    if said is None:
        return "nobody refused it"
    if isinstance(said, McpServerFailed) and place.session:
        return ""
    if isinstance(said, Problem):
        status = STATUS[said.kind]
        return "" if 400 <= status < 500 and said.detail else f"it was answered {status}"
    return ""


def test_there_are_two_hundred_vectors_and_more() -> None:
    assert len(set(VECTORS)) >= 200
    assert len(set(REDIRECTS)) >= 200


@each_place
async def test_no_byte_reaches_what_is_internal(world: World, place: Place) -> None:
    wrong: dict[str, str] = {}
    for vector in VECTORS:
        said = await place.give(world, written(vector, world.net.port, world.inside[0].port))
        if found := wrong_with(said, world, place):
            wrong[ascii(vector)] = found
    assert not wrong
    assert len(VECTORS) >= 200


@each_place
async def test_no_redirect_leads_there(world: World, place: Place) -> None:
    wrong: dict[str, str] = {}
    for vector in REDIRECTS:
        location = written(vector, world.net.port, world.inside[0].port).encode("utf-8", "surrogatepass").decode("latin-1")
        world.lead(location)
        said = await place.give(world, place.at(world, "public.test", "/go"))
        if found := wrong_with(said, world, place):
            wrong[ascii(vector)] = found
    assert not wrong


@each_place
async def test_no_name_that_changes_its_address_leads_there(world: World, place: Place) -> None:
    """Public when it is looked up first, or public among others: what was checked is what is connected to."""
    public = "127.0.0.2"
    for number, answers in enumerate(([[public], ["127.0.0.1"]], [[public], ["::1"]], [["127.0.0.1", public]], [["::1", "127.0.0.1"]])):
        name = f"rebinding{number}.test"
        world.net.names.known[name] = [list(answer) for answer in answers]
        for _ in range(3):
            await place.give(world, place.at(world, name))
    assert not world.reached


async def test_the_listeners_hear_who_does_reach_them(world: World) -> None:
    """Otherwise nothing above means anything."""
    other = world.inside[0].port
    async with world.net.egress("127.0.0.1", "::1") as egress:
        for place in (f"127.0.0.1:{world.net.port}", f"[::1]:{world.net.port}", f"127.0.0.1:{other}", f"[::1]:{other}"):
            before = world.reached
            await egress.fetch_beginning(f"http://{place}/", keep=10, timeout=timedelta(seconds=5))
            assert world.reached == before + 1
