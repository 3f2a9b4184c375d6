"""DOCX, PPTX, XLSX and EPUB as programs write them, read through the extra; and what is said where that is not installed."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.knowledge.hostile import archive

import pointsman
from pointsman.knowledge.parsing import Parser, ParsingLimits, Piece

NEEDS_EXTRA = pytest.mark.skipif(importlib.util.find_spec("markitdown") is None, reason="the extra `documents` is not installed")
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def parser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Parser]:
    parser = Parser(tmp_path_factory.mktemp("documents"))
    yield parser
    await parser.aclose()


async def read(parser: Parser, folder: Path, filename: str, content: bytes) -> list[Piece]:
    file = folder / "file"
    file.write_bytes(content)
    return await parser.parse(file, filename=filename, content_type=None, limits=ParsingLimits())


def docx() -> bytes:
    def paragraph(text: str, style: str = "") -> str:
        named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{named}<w:r><w:t>{text}</w:t></w:r></w:p>"

    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("Berlin", "4 €"))
    body = [paragraph("Fares", "Heading1"), paragraph("Children ride free.")]
    body += [paragraph("Night trains", "Heading2"), f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>", paragraph("No dogs.")]
    types = (
        f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>'
    )
    relations = (
        f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" Type="{OFFICE}/officeDocument" '
        'Target="word/document.xml"/></Relationships>'
    )
    document = f'<w:document xmlns:w="{WORD}"><w:body>{"".join(body)}</w:body></w:document>'
    return archive({"[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": document})


def pptx() -> bytes:
    """By the library that the extra brings to read them."""
    presentation: Any = importlib.import_module("pptx").Presentation()
    for title, text in (("Timetable", "Every hour."), ("Detours", "Bus 7 instead.")):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
    return saved(presentation)


def xlsx() -> bytes:
    """By the library that the extra brings to read them."""
    workbook: Any = importlib.import_module("openpyxl").Workbook()
    workbook.active.title = "Stock"
    for row in (("part", "price"), ("lamp", 4.5), ("rail", 9)):
        workbook.active.append(row)
    workbook.create_sheet("Staff").append(("Ada", "Berlin"))
    return saved(workbook)


def epub() -> bytes:
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    book = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Line</dc:title><dc:creator>Ada</dc:creator></metadata>'
        '<manifest><item id="one" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="one"/></spine></package>'
    )
    chapter = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Departure</h1><p>It was raining.</p></body></html>'
    parts = {"META-INF/container.xml": container, "OEBPS/book.opf": book, "OEBPS/one.xhtml": chapter}
    return archive(parts, mimetype="application/epub+zip")


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


@NEEDS_EXTRA
async def test_docx_keeps_its_headings_and_tables(parser: Parser, tmp_path: Path) -> None:
    fares, nights = await read(parser, tmp_path, "fares.docx", docx())
    assert (fares.heading, nights.heading) == ("Fares", "Fares > Night trains")
    assert "Children ride free." in fares.text
    assert "No dogs." in nights.text
    assert "Berlin | 4 €" in nights.text


@NEEDS_EXTRA
async def test_slides_of_pptx_are_pages(parser: Parser, tmp_path: Path) -> None:
    first, second = await read(parser, tmp_path, "talk.pptx", pptx())
    assert (first.page, first.heading, second.page, second.heading) == (1, "Timetable", 2, "Detours")
    assert "Every hour." in first.text
    assert "Bus 7 instead." in second.text


@NEEDS_EXTRA
async def test_sheets_of_xlsx_are_sections(parser: Parser, tmp_path: Path) -> None:
    stock, staff = await read(parser, tmp_path, "stock.xlsx", xlsx())
    assert (stock.heading, staff.heading) == ("Stock", "Staff")
    assert "| lamp | 4.5 |" in stock.text
    assert "Ada" in staff.text


@NEEDS_EXTRA
async def test_an_epub_is_read_with_its_title_and_chapters(parser: Parser, tmp_path: Path) -> None:
    pieces = await read(parser, tmp_path, "line.epub", epub())
    text = "\n".join(piece.text for piece in pieces)
    assert "The Line" in text
    assert [piece.text for piece in pieces if piece.heading == "Departure"] == ["# Departure\n\nIt was raining."]


WITHOUT = """
import asyncio, sys
from pathlib import Path
from pointsman.knowledge.parsing import Parser, ParsingLimits, Unreadable

async def main():
    parser = Parser(Path(sys.argv[1]))
    for name in sys.argv[2:]:
        try:
            await parser.parse(Path(name), filename=name, content_type=None, limits=ParsingLimits())
        except Unreadable as unreadable:
            print(unreadable.detail)
    await parser.aclose()

asyncio.run(main())
"""


def test_without_the_extra_the_reason_says_what_to_install(tmp_path: Path) -> None:
    """An installation that has everything but what the extra brings."""
    lean = tmp_path / "lean"
    lean.mkdir()
    spec = importlib.util.find_spec("pypdf")
    assert spec is not None
    assert spec.origin is not None
    for package in Path(spec.origin).parents[1].iterdir():
        if package.name == "pypdf":  # the sandbox sees what lies in the folder, not what a link leads to
            shutil.copytree(package, lean / package.name)
        elif not package.name.startswith("markitdown"):
            (lean / package.name).symlink_to(package)
    files = {"fares.docx": docx(), "line.epub": epub()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    path = f"{lean}:{Path(pointsman.__file__).parents[1]}"
    argv = [sys.executable, "-S", "-c", WITHOUT, str(tmp_path / "parsing"), *(str(tmp_path / name) for name in files)]
    said = subprocess.run(argv, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=True).stdout
    sentence = "DOCX, PPTX, XLSX and EPUB are not read here. The operator can install them: pip install 'pointsman[documents]'."
    assert said.splitlines() == [sentence] * 2
