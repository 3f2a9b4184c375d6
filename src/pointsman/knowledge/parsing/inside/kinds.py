"""Tells what a file is: by its content first, and by its name where the content leaves it open."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from pointsman.knowledge.parsing.inside.saying import Refused

_HEAD = 4096
_BY_NAME = {
    ".pdf": "pdf",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".rst": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".epub": "epub",
}
_BY_TYPE = {
    "application/pdf": "pdf",
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/epub+zip": "epub",
}
_WRITTEN = {"markdown", "html", "text", "csv", "json"}  # kinds that are text, and that only the name tells apart
_NAMES = {"pdf": "PDF", "docx": "DOCX", "pptx": "PPTX", "xlsx": "XLSX", "epub": "EPUB", "zip": "a ZIP archive"}
_SIGNATURES = (
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"BM", "a picture"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
    (b"RIFF", "sound or video"),
    (b"ID3", "sound or video"),
    (b"OggS", "sound or video"),
    (b"\x1a\x45\xdf\xa3", "sound or video"),
    (b"\x1f\x8b", "a compressed file"),
    (b"BZh", "a compressed file"),
    (b"\xfd7zXZ", "a compressed file"),
    (b"\x28\xb5\x2f\xfd", "a compressed file"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database"),
    (b"{\\rtf", "RTF"),
    (b"%!PS", "PostScript"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader is told: the kind, and how much text and how many pages there may be."""

    kind: str
    text_bytes: int
    pages: int


def tell(file: BinaryIO, filename: str, content_type: str) -> str:
    """The kind of a file, one that there is a reader for. Raises Refused."""
    if os.fstat(file.fileno()).st_size == 0:
        raise Refused("empty")
    named = _named(filename, content_type)
    head = file.read(_HEAD)
    file.seek(0)
    found = _found(file, head)
    if found is None:
        if named is not None and named not in _WRITTEN:
            raise Refused("mismatch", "text" if b"\0" not in head else "something else")
        return named or _guess(head)
    if named is not None and named != found:
        raise Refused("mismatch", _NAMES.get(found, found))
    if found not in _NAMES or found == "zip":
        raise Refused("unsupported", _NAMES.get(found, found))
    return found


def _named(filename: str, content_type: str) -> str | None:
    extension = os.path.splitext(filename.lower())[1]  # noqa: PTH122 - a name is no path here
    return _BY_NAME.get(extension) or _BY_TYPE.get(content_type.partition(";")[0].strip().lower())


def _found(file: BinaryIO, head: bytes) -> str | None:
    """What the content is beyond doubt; None for text."""
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _in_archive(file)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Refused("old-office")
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), None)


def _in_archive(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            if (
                "mimetype" in names
                and archive.getinfo("mimetype").file_size < 100
                and archive.read("mimetype").startswith(b"application/epub+zip")
            ):
                return "epub"
    except (zipfile.BadZipFile, RuntimeError, OSError, ValueError, EOFError):
        raise Refused("damaged") from None
    finally:
        file.seek(0)
    parts = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}
    return next((kind for part, kind in parts.items() if part in names), "zip")


def _guess(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "html" if start.startswith((b"<!doctype html", b"<html")) else "text"
