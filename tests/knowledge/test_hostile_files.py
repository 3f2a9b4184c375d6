from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.knowledge.hostile import ALL, IN_LIBRARIES, Hostile

from pointsman.knowledge.parsing import Parser, ParsingLimits, Unreadable

LIMITS = ParsingLimits(memory_mb=160, cpu_seconds=2, wall_seconds=20, text_bytes=2**20, pages=200)
OF_THE_HOST = re.compile("root:|/bin/sh|POINTSMAN")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def parser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Parser]:
    importlib.import_module("pypdf")  # an installer may not have compiled it, and a sandbox cannot keep what it compiled
    parser = Parser(tmp_path_factory.mktemp("hostile"))
    yield parser
    await parser.aclose()


@pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.what)
async def test_a_hostile_file_is_refused_with_a_reason_or_harmless(parser: Parser, tmp_path: Path, hostile: Hostile) -> None:
    await judge(parser, tmp_path, hostile)


@pytest.mark.skipif(importlib.util.find_spec("markitdown") is None, reason="the extra `documents` is not installed")
@pytest.mark.parametrize("hostile", IN_LIBRARIES, ids=lambda hostile: hostile.what)
async def test_a_hostile_document_does_no_more_in_the_library_that_reads_it(parser: Parser, tmp_path: Path, hostile: Hostile) -> None:
    await judge(parser, tmp_path, hostile)


def test_there_are_at_least_sixty_of_them() -> None:
    assert len({hostile.what for hostile in (*ALL, *IN_LIBRARIES)}) == len(ALL) + len(IN_LIBRARIES) >= 60
    assert sum(not hostile.refused for hostile in ALL) < len(ALL) / 3


async def judge(parser: Parser, folder: Path, hostile: Hostile) -> None:
    file = folder / "file"
    file.write_bytes(hostile.content())
    before = file.stat()
    text, reason = await read(parser, file, hostile.filename)
    assert bool(hostile.refused) == bool(reason), reason or text[:100]
    assert re.search(hostile.refused, reason), reason
    assert hostile.said in text
    assert not OF_THE_HOST.search(text)
    assert len(text.encode()) <= LIMITS.text_bytes
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


async def read(parser: Parser, file: Path, filename: str) -> tuple[str, str]:
    """What was read, and why nothing was: one of the two is empty."""
    try:
        pieces = await parser.parse(file, filename=filename, content_type=None, limits=LIMITS)
    except Unreadable as unreadable:
        return "", unreadable.detail
    return "".join(piece.text for piece in pieces), ""
