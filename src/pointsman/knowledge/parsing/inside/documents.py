"""Reads DOCX, PPTX, XLSX and EPUB, all of them archives of XML, through markitdown where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import types
import zipfile
import zlib
from typing import Any, BinaryIO

from pointsman.knowledge.parsing.inside.kinds import Asked
from pointsman.knowledge.parsing.inside.plain import say_markdown
from pointsman.knowledge.parsing.inside.saying import Answer, Refused

_MOST_PARTS = 20_000
_MOST_UNPACKED = 256 * 2**20
_MOST_RATIO = 200  # unpacked to packed, from _RATIO_COUNTS bytes on: text packs to a tenth, an empty sheet to a hundredth
_RATIO_COUNTS = 16 * 2**20
_CHUNK = 2**20
_ENTITY = re.compile(rb"<!\s*ENTITY", re.IGNORECASE)
_XML = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml", ".svg")
_SLIDE = re.compile(r"<!-- Slide number: (\d{1,6}) -->")


def read(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say a document; slides are pages."""
    try:
        with zipfile.ZipFile(file) as archive:
            _inspect(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
        raise Refused("damaged") from None
    except RuntimeError:  # what the library raises for a password
        raise Refused("encrypted") from None
    file.seek(0)
    text = _markdown(file, asked.kind)
    if asked.kind != "pptx":
        say_markdown(text, answer)
        return
    before, *slides = _SLIDE.split(text)
    say_markdown(before, answer)
    for number, slide in zip(slides[::2], slides[1::2], strict=True):
        say_markdown(slide, answer, max(1, int(number)))


def _inspect(archive: zipfile.ZipFile) -> None:
    """Raises Refused for what no ordinary program writes, before anything reads it."""
    parts = archive.infolist()
    if len(parts) > _MOST_PARTS:
        raise Refused("unpacks")
    unpacked = sum(part.file_size for part in parts)
    packed = sum(part.compress_size for part in parts)
    if unpacked > _MOST_UNPACKED or (unpacked > _RATIO_COUNTS and unpacked > _MOST_RATIO * max(packed, 1)):
        raise Refused("unpacks")
    for part in parts:
        steps = part.filename.replace("\\", "/").split("/")
        if ".." in steps or steps[0] == "" or ":" in steps[0]:
            raise Refused("names")
        if part.flag_bits & 1:
            raise Refused("encrypted")
        if part.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise Refused("damaged")
        if part.filename.lower().endswith(_XML):
            _require_no_entities(archive, part)


def _require_no_entities(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Also in UTF-16, where each letter has a zero beside it. Reading checks the part's length and sum, which bombs lie about."""
    before = b""
    with archive.open(part) as opened:
        while chunk := opened.read(_CHUNK):
            chunk = chunk.replace(b"\0", b"")
            if _ENTITY.search(before + chunk):
                raise Refused("entities")
            before = chunk[-32:]


def _markdown(file: BinaryIO, kind: str) -> str:
    try:
        _let_alone("markitdown")
        _let_alone("markitdown.converters")
        module: Any = importlib.import_module(f"markitdown.converters._{kind}_converter")
        stream_info: Any = importlib.import_module("markitdown._stream_info").StreamInfo
        converter = getattr(module, f"{kind.capitalize()}Converter")()
    except ImportError:
        raise Refused("not-installed") from None
    return str(converter.convert(file, stream_info(extension=f".{kind}")).markdown)


def _let_alone(package: str) -> None:
    """Make a package known without running its start, which loads every converter and a network of neurons: seconds for each file."""
    found = importlib.util.find_spec(package)
    if found is None or found.submodule_search_locations is None:
        raise ImportError(package)
    module = types.ModuleType(package)
    module.__path__ = found.submodule_search_locations
    sys.modules[package] = module
