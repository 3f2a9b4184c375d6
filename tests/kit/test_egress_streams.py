from __future__ import annotations

import gzip
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pointsman.kit.egress import EgressFailed, EgressRefused, EgressTimeout, EgressTooLarge

if TYPE_CHECKING:
    from kit.conftest import Net

LIMIT = 300_000
SOON = timedelta(seconds=5)


async def streamed(net: Net, path: str, *, most: int = LIMIT, within: timedelta = SOON) -> list[bytes]:
    async with net.egress() as egress, egress.stream(f"http://public.test:{net.port}{path}", max_bytes=most, timeout=within) as document:
        return [chunk async for chunk in document.chunks]


async def test_a_document_comes_in_pieces_and_whole(net: Net) -> None:
    net.redirect("/go", "/large")
    net.answer("/large", b"x" * LIMIT, "Application/PDF; a=b")
    async with net.egress() as egress, egress.stream(f"http://public.test:{net.port}/go", max_bytes=LIMIT, timeout=SOON) as document:
        chunks = [chunk async for chunk in document.chunks]
    assert document.media_type == "application/pdf"
    assert (len(chunks) > 2, b"".join(chunks)) == (True, b"x" * LIMIT)


async def test_past_the_bound_it_ends_whether_the_host_told_the_length_or_not(net: Net) -> None:
    net.answer("/told", b"x" * (LIMIT + 1))
    net.public.answers["/untold"] = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1)
    net.answer("/bomb", gzip.compress(bytes(5_000_000)), headers="Content-Encoding: gzip\r\n")
    for path in ("/told", "/untold", "/bomb"):
        with pytest.raises(EgressTooLarge):
            await streamed(net, path)


async def test_a_packed_document_is_unpacked_on_the_way(net: Net) -> None:
    net.answer("/packed", gzip.compress(b"x" * LIMIT), headers="Content-Encoding: gzip\r\n")
    assert b"".join(await streamed(net, "/packed")) == b"x" * LIMIT


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\njunk",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["cut", "junk", "404", "nothing"],
)
async def test_a_document_that_is_cut_or_broken_never_ends_as_if_it_were_whole(net: Net, answer: bytes) -> None:
    net.public.answers["/rude"] = answer
    with pytest.raises(EgressFailed):
        await streamed(net, "/rude")


async def test_a_silent_host_is_cut_at_the_limit(net: Net) -> None:
    net.public.answers["/silent"] = b"silence"
    with pytest.raises(EgressTimeout, match=r"0\.2 s"):
        await streamed(net, "/silent", within=timedelta(seconds=0.2))


async def test_what_the_reader_fails_with_is_its_own(net: Net) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with net.egress() as egress, egress.stream(f"http://public.test:{net.port}/", max_bytes=LIMIT, timeout=SOON):
            raise TimeoutError("mine")


async def test_an_internal_address_is_refused_also_behind_a_redirect(net: Net) -> None:
    net.redirect("/go", f"http://127.0.0.1:{net.port}/")
    with pytest.raises(EgressRefused):
        await streamed(net, "/go")
    assert net.reached == 0
