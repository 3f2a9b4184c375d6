from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pointsman.knowledge.parsing import Parser, ParsingLimits, Piece, Unreadable

Read = Callable[..., Awaitable[list[Piece]]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def parser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Parser]:
    parser = Parser(tmp_path_factory.mktemp("parsing"))
    yield parser
    await parser.aclose()


@pytest.fixture
def read(parser: Parser, tmp_path: Path) -> Read:
    """Have a file of this name and content read."""

    async def read(filename: str, content: bytes | str, *, content_type: str | None = None) -> list[Piece]:
        file = tmp_path / "file"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(0o600)
        limits = ParsingLimits(memory_mb=256, cpu_seconds=20, wall_seconds=60)
        return await parser.parse(file, filename=filename, content_type=content_type, limits=limits)

    return read


HANDBOOK = """Before all.

# Trains

Trains run.

## Signals ##

Red is *stop*.

```
# no heading
```

Platforms
---------

Mind the gap.

# Staff

Be kind.
"""


async def test_markdown_keeps_its_headings(read: Read) -> None:
    pieces = await read("handbook.md", HANDBOOK)
    assert [piece.heading for piece in pieces] == [None, "Trains", "Trains > Signals", "Trains > Platforms", "Staff"]
    assert pieces[2].text == "## Signals ##\n\nRed is *stop*.\n\n```\n# no heading\n```\n"
    assert pieces[3].text == "Platforms\n---------\n\nMind the gap.\n"


async def test_html_is_what_a_visitor_sees(read: Read) -> None:
    page = (
        "<!doctype html><html><head><title>No</title><style>p {}</style></head><body><script>var no = '<p>no</p>'</script><p>Hello &amp; "
        "welcome"
        "<h2>Fares <i>2026</i></h2><table><tr><th>From<th>Price<tr><td>Here<td>4 &euro;</table><svg><text>no</text></svg></body></html>"
    )
    pieces = await read("page", page)
    assert [(piece.heading, piece.text) for piece in pieces] == [
        (None, "Hello & welcome"),
        ("Fares 2026", "Fares 2026\n\n| From | Price\n| Here | 4 €"),
    ]


async def test_rows_of_csv_have_the_names_of_their_columns(read: Read) -> None:
    (piece,) = await read("stock.csv", 'part;price;note\nlamp;4,50;"red\nor green"\n\nrail;9;\n')
    assert piece.text == "part: lamp; price: 4,50; note: red or green\npart: rail; price: 9"


async def test_values_of_json_have_the_way_to_them(read: Read) -> None:
    (piece,) = await read("a.json", '{"stations": [{"name": "Ham", "tracks": 4.50}, {"name": "Bar", "open": true}], "end": null}')
    assert piece.text == "stations.name: Ham\nstations.tracks: 4.50\nstations.name: Bar\nstations.open: true\nend: null\n"
    (piece,) = await read("a.jsonl", '{"a": 1}\n\n{"a": 123456789012345678901234567890}\n')
    assert piece.text == "a: 1\n\na: 123456789012345678901234567890\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Grüße\r\nan alle".encode(), "Grüße\nan alle"),
        ("\ufeffGrüße".encode(), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("\ufeffGrüße".encode("utf-16-be"), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        ("„Grüße“ für 5 €".encode("cp1252"), "„Grüße“ für 5 €"),
        (("ü" * 50).encode() + b"\xff", "ü" * 50 + "\ufffd"),
    ],
)
async def test_text_is_read_in_the_encoding_it_is_in(read: Read, content: bytes, text: str) -> None:
    assert [piece.text for piece in await read("greeting.txt", content)] == [text]


async def test_a_type_counts_where_the_name_says_nothing(read: Read) -> None:
    (piece,) = await read("download", "# Title\n\ntext", content_type="text/markdown; charset=utf-8")
    assert piece.heading == "Title"


async def test_an_empty_file_is_refused_with_a_reason(read: Read) -> None:
    with pytest.raises(Unreadable, match="The file is empty"):
        await read("a.txt", b"")
