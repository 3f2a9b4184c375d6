from __future__ import annotations

import contextlib
import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.ssrf.vectors import REDIRECTS, VECTORS, address_of_this_host, hostile_names_of, written

from pointsman.kit.egress import Egress, EgressAllowInvalid, EgressRefused, SystemResolver
from pointsman.kit.egress.addresses import belongs_to_this_host
from pointsman.kit.problems import Problem

if TYPE_CHECKING:
    from kit.conftest import Net

LIMIT = 10_000
SOON = timedelta(seconds=5)


@pytest.fixture
def own_address() -> str:
    return address_of_this_host()


@pytest.fixture
def hostile_names(net: Net, own_address: str) -> Net:
    net.names.known |= hostile_names_of(own_address)
    return net


@pytest.mark.parametrize("url", VECTORS, ids=ascii)
async def test_no_byte_reaches_an_address_that_is_not_public(hostile_names: Net, url: str) -> None:
    net = hostile_names
    async with net.egress() as egress:
        with pytest.raises(EgressRefused) as caught:
            await egress.fetch(written(url, net.port), max_bytes=LIMIT, timeout=SOON)
    assert net.reached == 0
    assert net.public.connections == 0
    assert not any(address in f"{caught.value.detail} {caught.value.hint}" for address in ("127.", "10.0", "169.254", "::1"))


@pytest.mark.parametrize("url", REDIRECTS, ids=ascii)
async def test_a_redirect_is_held_to_the_same_rules(hostile_names: Net, url: str) -> None:
    net = hostile_names
    location = written(url, net.port).encode("utf-8", "surrogatepass").decode("latin-1")
    net.redirect("/go", location)
    async with net.egress() as egress:
        with pytest.raises(EgressRefused):
            await egress.fetch(f"http://public.test:{net.port}/go", max_bytes=LIMIT, timeout=SOON)
    assert net.reached == 0
    assert net.public.connections == 1


async def test_an_unknown_name_and_an_internal_one_are_refused_in_the_same_words(net: Net) -> None:
    said: list[tuple[type[Problem], str, str]] = []
    async with net.egress() as egress:
        for host in ("internal.test", "unknown.test", "127.0.0.1", "localhost"):
            with pytest.raises(EgressRefused) as caught:
                await egress.fetch(f"http://{host}:{net.port}/", max_bytes=LIMIT, timeout=SOON)
            said.append((type(caught.value), caught.value.detail, caught.value.hint))
    assert len(set(said)) == 1


async def test_a_name_that_changes_its_address_is_asked_once_and_connected_to_where_it_was_checked(net: Net) -> None:
    net.names.known["rebinding.test"] = [["127.0.0.2"], ["127.0.0.1"]]
    async with net.egress() as egress:
        fetched = await egress.fetch(f"http://rebinding.test:{net.port}/", max_bytes=LIMIT, timeout=SOON)
        assert fetched.body == b"hello"
        assert net.names.asked == ["rebinding.test"]
        with pytest.raises(EgressRefused):
            await egress.fetch(f"http://rebinding.test:{net.port}/", max_bytes=LIMIT, timeout=SOON)
    assert net.reached == 0


async def test_a_name_that_changes_its_address_between_two_hops_is_checked_again(net: Net) -> None:
    net.names.known["rebinding.test"] = [["127.0.0.2"], ["127.0.0.1"]]
    net.redirect("/go", "/next")
    async with net.egress() as egress:
        with pytest.raises(EgressRefused):
            await egress.fetch(f"http://rebinding.test:{net.port}/go", max_bytes=LIMIT, timeout=SOON)
    assert (net.public.connections, net.reached) == (1, 0)


async def test_of_several_addresses_only_the_public_ones_are_connected_to(net: Net) -> None:
    net.names.known["mixed.test"] = [["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]]
    async with net.egress() as egress:
        assert (await egress.fetch(f"http://mixed.test:{net.port}/", max_bytes=LIMIT, timeout=SOON)).status == 200
    assert net.reached == 0


async def test_the_gateways_own_public_address_is_refused(net: Net, own_address: str) -> None:
    assert belongs_to_this_host(ipaddress.ip_address("127.0.0.1"))
    assert belongs_to_this_host(ipaddress.ip_address(own_address))
    assert not belongs_to_this_host(ipaddress.ip_address("8.8.8.8"))
    assert net.reached == 0


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:{p}/"),
        ("127.0.0.1", "http://internal.test:{p}/"),
        ("127.0.0.0/8", "http://internal.test:{p}/"),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]:{p}/"),
        ("::1", "http://[::1]:{p}/"),
        ("[::1]", "http://[::1]:{p}/"),
        ("::1/128", "http://[::1]:{p}/"),
        ("internal.test", "http://internal.test:{p}/"),
        ("Internal.Test.", "http://INTERNAL.test.:{p}/"),
        ("*.test", "http://internal.test:{p}/"),
        ("localhost", "http://localhost:{p}/"),
    ],
)
async def test_what_the_operator_allowed_is_reached(net: Net, allow: str, url: str) -> None:
    net.names.known["localhost"] = [["127.0.0.1"]]
    async with net.egress(allow) as egress:
        fetched = await egress.fetch(written(url, net.port), max_bytes=LIMIT, timeout=SOON)
    assert (fetched.status, fetched.media_type, fetched.body) == (200, "text/plain", b"hello")
    assert net.reached == 1


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("internal.test", "http://127.0.0.1:{p}/"),
        ("internal.test", "http://other.test:{p}/"),
        ("internal.test", "http://sub.internal.test:{p}/"),
        ("*.internal.test", "http://internal.test:{p}/"),
        ("*.internal.test", "http://notinternal.test:{p}/"),
        ("127.0.0.1", "http://127.0.0.3:{p}/"),
        ("127.0.0.1", "http://2130706433:{p}/"),
        ("::1", "http://127.0.0.1:{p}/"),
        ("10.0.0.0/8", "http://internal.test:{p}/"),
    ],
)
async def test_what_is_like_the_allowed_but_not_it_is_refused(net: Net, allow: str, url: str) -> None:
    net.names.known |= {name: [["127.0.0.1"]] for name in ("other.test", "sub.internal.test", "notinternal.test")}
    async with net.egress(allow) as egress:
        with pytest.raises(EgressRefused):
            await egress.fetch(written(url, net.port), max_bytes=LIMIT, timeout=SOON)
    assert net.reached == 0


@pytest.mark.parametrize(
    "entry", ["", "http://x.test", "x.test:80", "10.0.0.0/99", "10.0.0.1/8", "*", "*.", "a b", "1.2.3", "*.*.test", "é.test"]
)
def test_a_mistyped_allowance_is_refused_at_start(entry: str) -> None:
    with pytest.raises(EgressAllowInvalid) as caught:
        Egress([entry])
    assert entry in caught.value.detail


async def test_checking_a_url_asks_nobody(net: Net) -> None:
    async with net.egress() as egress:
        egress.check_url("https://internal.test/")
        egress.check_url("https://93.184.215.14/")
        egress.check_url("https://[2606:4700:4700::1111]/")
        for url in ("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "ftp://public.test/", "https://public.test/" + "a" * 9000):
            with pytest.raises(EgressRefused):
                egress.check_url(url)
    assert net.names.asked == []


async def test_the_systems_resolver_knows_localhost_and_no_invalid_name() -> None:
    resolver = SystemResolver()
    assert set(await resolver.resolve("localhost")) <= {"127.0.0.1", "::1"}
    with contextlib.suppress(OSError):  # without a name server nobody can tell
        assert not await resolver.resolve("nowhere.invalid")
    await resolver.close()
