from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.kit.conftest import certificate_for

from pointsman.kit.egress import Egress, EgressFailed, EgressMediaTypeRefused, EgressTimeout, EgressTooLarge

if TYPE_CHECKING:
    from kit.conftest import Net

LIMIT = 10_000
SOON = timedelta(seconds=5)


async def test_a_document_is_fetched_with_its_path_and_query_as_written(net: Net) -> None:
    written = "/a%2Fb/%7Ec/./x+y;z=1?sig=a%2Bb/c%3D&q=ä#fragment"
    async with net.egress() as egress:
        fetched = await egress.fetch(f"http://Public.TEST:{net.port}{written}", max_bytes=LIMIT, timeout=SOON)
    sent = "/a%2Fb/%7Ec/./x+y;z=1?sig=a%2Bb/c%3D&q=%C3%A4"
    assert net.public.requests[0].startswith(f"GET {sent} HTTP/1.1\r\nHost: public.test:{net.port}\r\n")
    assert fetched.final_url == f"http://public.test:{net.port}{sent}"


async def test_a_name_in_another_script_is_asked_for_in_punycode(net: Net) -> None:
    net.names.known["xn--bcher-kva.test"] = [["127.0.0.2"]]
    async with net.egress() as egress:
        assert (await egress.fetch(f"http://Bücher.test:{net.port}/", max_bytes=LIMIT, timeout=SOON)).body == b"hello"


async def test_redirects_are_followed_to_the_end_and_only_so_often(net: Net) -> None:
    for number in range(5):
        net.redirect(f"/{number}", f"/{number + 1}", status=(301, 302, 303, 307, 308)[number])
    net.answer("/5", b"there", "Text/HTML; charset=utf-8")
    net.redirect("/loop", "loop?again")
    async with net.egress() as egress:
        fetched = await egress.fetch(f"http://public.test:{net.port}/0", max_bytes=LIMIT, timeout=SOON)
        assert (fetched.body, fetched.media_type, fetched.final_url) == (b"there", "text/html", f"http://public.test:{net.port}/5")
        with pytest.raises(EgressFailed, match="more than 5 times"):
            await egress.fetch(f"http://public.test:{net.port}/loop", max_bytes=LIMIT, timeout=SOON)


async def test_nothing_is_carried_from_one_request_to_the_next(net: Net) -> None:
    net.answer("/a", b"", headers="Set-Cookie: s=1; Path=/\r\n")
    async with net.egress() as egress:
        await egress.fetch(f"http://public.test:{net.port}/a", max_bytes=LIMIT, timeout=SOON)
        await egress.fetch(f"http://public.test:{net.port}/b", max_bytes=LIMIT, timeout=SOON)
    assert net.public.connections == 2
    assert "cookie" not in net.public.requests[1].lower()


async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(net: Net) -> None:
    net.answer("/fits", b"x" * LIMIT)
    net.answer("/over", b"x" * (LIMIT + 1))
    net.public.answers["/endless"] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * (LIMIT * 3)
    async with net.egress() as egress:
        assert len((await egress.fetch(f"http://public.test:{net.port}/fits", max_bytes=LIMIT, timeout=SOON)).body) == LIMIT
        for path in ("/over", "/endless"):
            with pytest.raises(EgressTooLarge):
                await egress.fetch(f"http://public.test:{net.port}{path}", max_bytes=LIMIT, timeout=SOON)


async def test_a_packed_body_is_unpacked_within_the_limit(net: Net) -> None:
    net.answer("/fits", gzip.compress(b"x" * LIMIT), headers="Content-Encoding: gzip\r\n")
    net.answer("/zlib", zlib.compress(b"x" * LIMIT), headers="Content-Encoding: deflate\r\n")
    net.answer("/bomb", gzip.compress(b"\x00" * 5_000_000), headers="Content-Encoding: gzip\r\n")
    net.answer("/cut", gzip.compress(b"abc" * 999)[:-9], headers="Content-Encoding: gzip\r\n")
    net.answer("/junk", b"junk", headers="Content-Encoding: gzip\r\n")
    net.answer("/twice", b"junk", headers="Content-Encoding: gzip, gzip\r\n")
    net.answer("/br", b"junk", headers="Content-Encoding: br\r\n")
    async with net.egress() as egress:
        for path in ("/fits", "/zlib"):
            assert len((await egress.fetch(f"http://public.test:{net.port}{path}", max_bytes=LIMIT, timeout=SOON)).body) == LIMIT
        with pytest.raises(EgressTooLarge):
            await egress.fetch(f"http://public.test:{net.port}/bomb", max_bytes=LIMIT, timeout=SOON)
        for path in ("/cut", "/junk", "/twice", "/br"):
            with pytest.raises(EgressFailed):
                await egress.fetch(f"http://public.test:{net.port}{path}", max_bytes=LIMIT, timeout=SOON)


async def test_only_the_kinds_of_document_that_were_asked_for_are_taken(net: Net) -> None:
    net.answer("/png", b"x", "image/png; x=y")
    net.public.answers["/none"] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    url = f"http://public.test:{net.port}/png"
    async with net.egress() as egress:
        for accept in (("image/*",), ("text/plain", "image/png"), ("*/*",), lambda kind: kind == "image/png"):
            assert (await egress.fetch(url, max_bytes=LIMIT, timeout=SOON, accept=accept)).media_type == "image/png"
        for refused in (("text/*",), ("image/jpeg",), (), lambda _: False):
            with pytest.raises(EgressMediaTypeRefused, match="image/png"):
                await egress.fetch(url, max_bytes=LIMIT, timeout=SOON, accept=refused)
        fetched = await egress.fetch(f"http://public.test:{net.port}/none", max_bytes=LIMIT, timeout=SOON)
        assert fetched.media_type == "application/octet-stream"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(2000)) + b"\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"\x00" * 5000,
    ],
    ids=lambda answer: repr(answer[:30]),
)
async def test_a_rude_host_is_a_problem_not_a_crash(net: Net, answer: bytes) -> None:
    net.public.answers["/rude"] = answer
    async with net.egress() as egress:
        with pytest.raises(EgressFailed):
            await egress.fetch(f"http://public.test:{net.port}/rude", max_bytes=LIMIT, timeout=SOON)


async def test_a_silent_host_is_cut_at_the_limit(net: Net) -> None:
    net.public.answers["/silent"] = b"silence"
    async with net.egress() as egress:
        with pytest.raises(EgressTimeout, match=r"0\.2 s"):
            await egress.fetch(f"http://public.test:{net.port}/silent", max_bytes=LIMIT, timeout=timedelta(seconds=0.2))


async def test_a_closed_port_and_a_broken_name_service_are_failures(net: Net) -> None:
    class Broken:
        async def resolve(self, host: str) -> list[str]:
            raise socket.gaierror(socket.EAI_AGAIN, f"no answer for {host}")

        async def close(self) -> None:
            return None

    async with net.egress() as egress:
        with socket.socket() as unused:
            unused.bind(("127.0.0.2", 0))
            with pytest.raises(EgressFailed, match="connected"):
                await egress.fetch(f"http://127.0.0.2:{unused.getsockname()[1]}/", max_bytes=LIMIT, timeout=SOON)
    broken = Egress(resolver=Broken())
    with pytest.raises(EgressFailed, match="looked up"):
        await broken.fetch("http://any.test/", max_bytes=LIMIT, timeout=SOON)
    await broken.aclose()


async def test_tls_is_checked_against_the_name_in_the_url(net: Net, tmp_path: Path) -> None:
    server_context, client_context = certificate_for("public.test", tmp_path)
    net.names.known["other.test"] = [["127.0.0.2"]]
    async with net.listening_with_tls(server_context) as secure, net.egress(ssl_context=client_context) as egress, net.egress() as wary:
        fetched = await egress.fetch(f"https://public.test:{secure.port}/", max_bytes=LIMIT, timeout=SOON)
        assert fetched.body == b"hello"
        for host in ("other.test", "127.0.0.2"):
            with pytest.raises(EgressFailed, match="certificate"):
                await egress.fetch(f"https://{host}:{secure.port}/", max_bytes=LIMIT, timeout=SOON)
        with pytest.raises(EgressFailed, match="certificate"):
            await wary.fetch(f"https://public.test:{secure.port}/", max_bytes=LIMIT, timeout=SOON)
        assert len(secure.requests) == 1


async def test_many_fetches_at_once_do_not_mix(net: Net) -> None:
    for number in range(40):
        net.answer(f"/{number}", str(number).encode())
    async with net.egress() as egress:
        fetched = await asyncio.gather(
            *(egress.fetch(f"http://public.test:{net.port}/{number}", max_bytes=LIMIT, timeout=SOON) for number in range(40))
        )
    assert [int(document.body) for document in fetched] == list(range(40))
