# ruff: noqa: RUF001 - letters that look alike are what is tested
from __future__ import annotations

import contextlib
import ipaddress
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pointsman.kit.egress import Egress, EgressAllowInvalid, EgressRefused, SystemResolver
from pointsman.kit.egress.addresses import belongs_to_this_host
from pointsman.kit.problems import Problem

if TYPE_CHECKING:
    from kit.conftest import Net

LIMIT = 10_000
SOON = timedelta(seconds=5)

# Every host here is a way to write, or to lead to, an address that is not public. {p} is a port at which something listens.
INTERNAL_URLS = [
    *(
        f"http://{host}:{{p}}/"
        for host in (
            "127.0.0.1",
            "127.0.0.3",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0X7F.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "00000000177.0.0.1",
            "127.0.0.01",
            "127.0.0.0x1",
            "127.0x1",
            "0x7f.1",
            "4294967295",
            "127.0.0.1.",
            "2130706433.",
            "0",
            "0x0",
            "0x",
            "0.0.0.0",
            "0.0.0.1",
            "255.255.255.255",
            "127.0.0.256",
            "127.0.0.1.1",
            "1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[::127.0.0.1]",
            "[::7f00:1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[2002:7f00:1::1]",
            "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
            "[2606:4700::5efe:7f00:1]",
            "[fe80::1]",
            "[fe80::1%25lo]",
            "[fe80::1%lo]",
            "[::1%25lo]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fec0::1]",
            "[ff02::1]",
            "[100::1]",
            "[2001:db8::1]",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "[::1]x",
            "[[::1]]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "loop.test",
            "loop.test.",
            "LOOP.Test",
            "mapped.test",
            "six.test",
            "meta.test",
            "ten.test",
            "own.test",
            "mixed-internal.test",
            "unknown.test",
            # digits, letters and dots of other scripts that become plain ones
            "１２７.０.０.１",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "127．0．0．1",
            "0ｘ7f.1",
            "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
            "ｌｏｏｐ.test",
            "loop.test\u00ad",
            "𝟭𝟮𝟳.𝟬.𝟬.𝟭",
            # two readers, two hosts
            "public.test@127.0.0.1",
            "public.test:80@127.0.0.1",
            "user:pass@public.test",
            "@127.0.0.1",
            "127.0.0.1%00.public.test",
            "127%2e0%2e0%2e1",
            "%31%32%37.0.0.1",
            "public.test%2f@127.0.0.1",
            "public.test\\@127.0.0.1",
            "127.0.0.1\\.public.test",
            "public.test\\",
            "public.test ",
            " public.test",
            "public.test\t",
            "pub\tlic.test",
            "public.test\r\nHost: internal.test\r\n",
            "public.test\n",
            "public.test\x00",
            "public.test\u2028",
            "public.test\ud800",
            "public.test／.internal.test",
            "public.test＠127.0.0.1",
            "public..test",
            ".public.test",
            "public.test..",
            "-public.test",
            "*.test",
            "a" * 64 + ".test",
            ".".join(["a" * 60] * 5),
            "",
        )
    ),
    "http://127.0.0.1:{p}",
    "http:127.0.0.1:{p}/",
    "http:/127.0.0.1:{p}/",
    "http:///127.0.0.1:{p}/",
    "http:\\\\127.0.0.1:{p}\\",
    "//127.0.0.1:{p}/",
    "127.0.0.1:{p}/",
    " http://127.0.0.1:{p}/",
    "\x01http://127.0.0.1:{p}/",
    "ht\ntp://127.0.0.1:{p}/",
    "HTTP://127.0.0.1:{p}/",
    "https://127.0.0.1:{p}/",
    "ftp://127.0.0.1:{p}/",
    "gopher://127.0.0.1:{p}/_GET",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "dict://127.0.0.1:{p}/",
    "ws://127.0.0.1:{p}/",
    "data:text/plain,hello",
    "jar:http://127.0.0.1:{p}!/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "http://public.test:0/",
    "http://public.test:22/",
    "http://public.test:25/",
    "http://public.test:6379/",
    "http://public.test:65536/",
    "http://public.test:99999999999/",
    "http://public.test:-1/",
    "http://public.test:80x/",
    "http://public.test:８０/",
    "http://public.test:{p}:{p}/",
    "http://public.test:{p}/a b",
    "http://public.test:{p}/\r\nX: y",
    "http://public.test:{p}/\\..\\",
    "http://?",
    "http://#@public.test/",
    "",
    "?",
    "http:",
    "http://",
]
# The rest means a document of the same host, or cannot stand in a header.
REDIRECTS = [
    url for url in INTERNAL_URLS if url not in {"", "?", "127.0.0.1:{p}/"} and not set(url) & set("\r\n\x00\x01") and url[0] != " "
]


@pytest.fixture
def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@pytest.fixture
def hostile_names(net: Net, own_address: str) -> Net:
    net.names.known |= {
        "localhost": [["127.0.0.1", "::1"]],
        "a.localhost": [["127.0.0.1"]],
        "loop.test": [["127.0.0.1"]],
        "mapped.test": [["::ffff:127.0.0.1"]],
        "six.test": [["::1"]],
        "meta.test": [["169.254.169.254", "fd00:ec2::254"]],
        "ten.test": [["10.0.0.1"]],
        "own.test": [[own_address]],
        "mixed-internal.test": [["127.0.0.1", "10.0.0.1", "fe80::1%lo", "::"]],
    }
    return net


@pytest.mark.parametrize("url", INTERNAL_URLS, ids=ascii)
async def test_no_byte_reaches_an_address_that_is_not_public(hostile_names: Net, url: str) -> None:
    net = hostile_names
    async with net.egress() as egress:
        with pytest.raises(EgressRefused) as caught:
            await egress.fetch(url.replace("{p}", str(net.port)), max_bytes=LIMIT, timeout=SOON)
    assert net.reached == 0
    assert net.public.connections == 0
    assert not any(address in f"{caught.value.detail} {caught.value.hint}" for address in ("127.", "10.0", "169.254", "::1"))


@pytest.mark.parametrize("url", REDIRECTS, ids=ascii)
async def test_a_redirect_is_held_to_the_same_rules(hostile_names: Net, url: str) -> None:
    net = hostile_names
    location = url.replace("{p}", str(net.port)).encode("utf-8", "surrogatepass").decode("latin-1")
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
        fetched = await egress.fetch(url.replace("{p}", str(net.port)), max_bytes=LIMIT, timeout=SOON)
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
            await egress.fetch(url.replace("{p}", str(net.port)), max_bytes=LIMIT, timeout=SOON)
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
