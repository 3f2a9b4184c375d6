"""Reads text and Markdown."""

from __future__ import annotations

import codecs
import os
import re
from typing import BinaryIO

from pointsman.knowledge.parsing.inside.kinds import Asked
from pointsman.knowledge.parsing.inside.saying import Answer, Refused

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDEST = 4  # bytes of a file that one of the text in UTF-8 may take: UTF-32
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_GOOD_PER_BAD = 20  # letters of UTF-8 beyond ASCII for each that is broken, from which on the text is UTF-8 with damage
_CHAPTER = 100_000  # letters of plain text in one piece
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def load(file: BinaryIO, asked: Asked) -> str:
    """The whole text. Raises Refused for what is none, or more than may be."""
    if os.fstat(file.fileno()).st_size > _WIDEST * asked.text_bytes:
        raise Refused("too-much-text")
    return decode(file.read())


def decode(data: bytes, declared: str | None = None) -> str:
    """By its mark, else UTF-8 where it is that, else what the file declares, else Windows' form of Latin-1. Raises Refused."""
    text = _decoded(data, declared)
    if len(_CONTROL.findall(text[:100_000])) > len(text[:100_000]) // 200 or "\0" in text:
        raise Refused("encoding")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say a text, cut between paragraphs."""
    text = load(file, asked)
    start = 0
    while start < len(text):
        end = text.rfind("\n\n", start + 1, start + _CHAPTER) if start + _CHAPTER < len(text) else len(text)
        end = end if end > start else start + _CHAPTER
        answer.say(text[start:end])
        start = end


def read_markdown(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say Markdown, section by section."""
    say_markdown(load(file, asked), answer)


def say_markdown(text: str, answer: Answer, page: int | None = None) -> None:
    """Each section with the way to its heading; what is within fences is no heading."""
    way: list[tuple[int, str]] = []
    section: list[str] = []
    fence = ""

    def close() -> None:
        answer.say("\n".join(section), page, " > ".join(title for _, title in way) or None)
        section.clear()

    for line in text.split("\n"):
        marks = _FENCE.match(line)
        if marks and (not fence or (line.strip().startswith(fence) and line.strip().strip(fence[0]) == "")):
            fence = "" if fence else marks[1]
        found = None if fence else _heading(line, section)
        if found is None:
            section.append(line)
            continue
        level, title, underlined = found
        above = section.pop() if underlined else line
        close()
        way = [*((depth, name) for depth, name in way if depth < level), (level, title[:200])]
        section.append(above if not underlined else f"{above}\n{line}")
    close()


def _heading(line: str, before: list[str]) -> tuple[int, str, bool] | None:
    """The level and title of a heading, and whether it is the line before, which this one underlines."""
    if len(line) > 2000:
        return None
    if found := _HEADING.fullmatch(line):
        return (len(found[1]), found[2], False) if found[2] else None
    if (found := _UNDERLINE.fullmatch(line)) and before and _is_paragraph_of_one_line(before):
        return (1 if found[1][0] == "=" else 2, before[-1].strip(), True)
    return None


def _is_paragraph_of_one_line(before: list[str]) -> bool:
    last = before[-1]
    alone = len(before) == 1 or not before[-2].strip()
    return alone and bool(last.strip()) and len(last) <= 200 and last.lstrip()[0] not in "-*+>|#="


def _decoded(data: bytes, declared: str | None) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    if b"\0" in data:
        raise Refused("encoding")
    if declared is not None:
        return _strictly(data, declared)
    damaged = data.decode(errors="replace")
    bad = damaged.count("\ufffd")
    if sum(letter > "\x7f" for letter in damaged) - bad > _GOOD_PER_BAD * bad:
        return damaged
    return _strictly(data, "latin-1" if not re.search(rb"[\x80-\x9f]", data) else "cp1252")


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError, ValueError):
        raise Refused("encoding") from None
