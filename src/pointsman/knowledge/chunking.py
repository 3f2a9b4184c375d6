"""Cuts what was read from a file into chunks of a bounded number of tokens, at the best borders that the text has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pointsman.knowledge.pieces import Piece

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

_VOCABULARY = "gpt-4o"  # its table lies within the library; counts of other models' are near enough to bound a chunk
_LETTERS_PER_TOKEN = 4  # of English; other scripts have fewer
_FULL = 0.9  # of its tokens is what a block is aimed at
_BLANK_LINES = re.compile(r"\n{2,}")
_LONGEST_TOKEN = 16  # letters that a token of an overlap is looked for in


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file. `ordinal` counts from 0 over the file; `tokens` is estimated, and at most what `chunk` was given."""

    ordinal: int
    content: str
    page: int | None
    heading: str | None
    tokens: int


def chunk(pieces: Sequence[Piece], *, tokens: int = 400, overlap: int = 40) -> list[Chunk]:
    """Chunks of at most `tokens` tokens; each but the first of a piece begins with about `overlap` tokens of the one before.

    A chunk never crosses pieces, so that its page and its heading are true of all of it.
    """
    if not 0 <= overlap < tokens:
        raise ValueError("An overlap is shorter than its chunks.")
    found: list[Chunk] = []
    for piece in pieces:
        for content in _cut(piece.text, tokens, overlap):
            found.append(Chunk(len(found), content, piece.page, piece.heading, _estimate(content, tokens)))
    return found


def _cut(text: str, tokens: int, overlap: int) -> Iterator[str]:
    """The overlap is added here: the library would find it by counting again, which takes half as long again."""
    previous = 0
    for start, end in _parts(text, tokens - overlap):
        begin = _overlapping(text, previous, start, overlap) if start and overlap else start
        yield text[begin:end]
        previous = start


def _parts(text: str, tokens: int) -> Iterator[tuple[int, int]]:
    """Where parts of at most `tokens` tokens begin and end.

    The library is given blocks that will most likely be one part: it counts those once, and a long text several times over, which takes
    three times as long.
    """
    splitter = _splitter(tokens)
    for start, block in _blocks(text, int(tokens * _FULL * _LETTERS_PER_TOKEN)):
        for offset, part in splitter.chunk_indices(block):
            yield start + offset, start + offset + len(part)


def _blocks(text: str, letters: int) -> Iterator[tuple[int, str]]:
    """Whole paragraphs of together about so many letters; of those that are longer by themselves whole lines, or the paragraph."""
    start = end = 0
    for unit in _units(text, letters):
        if end > start and end - start + len(unit) > letters:
            yield start, text[start:end]
            start = end
        end += len(unit)
    if end > start:
        yield start, text[start:end]


def _units(text: str, letters: int) -> Iterator[str]:
    start = 0
    for end in (*(blank.end() for blank in _BLANK_LINES.finditer(text)), len(text)):
        paragraph = text[start:end]
        start = end
        if len(paragraph) <= letters:
            yield paragraph
        else:
            yield from paragraph.splitlines(keepends=True)


def _overlapping(text: str, previous: int, start: int, overlap: int) -> int:
    """Where the last `overlap` tokens before `start` begin, within the chunk that began at `previous`."""
    earliest = max(previous, start - overlap * _LONGEST_TOKEN)
    *_, (offset, _last) = _splitter(overlap).chunk_indices(text[earliest:start]) or [(start - earliest, "")]
    return earliest + offset


def _estimate(content: str, most: int) -> int:
    """The library cuts by tokens and does not tell their number. Beyond ASCII a letter is about a token."""
    plain = len(content) if content.isascii() else sum(letter < "\x80" for letter in content)
    return max(1, min(most, plain // _LETTERS_PER_TOKEN + len(content) - plain))


@cache
def _splitter(tokens: int) -> TextSplitter:
    from semantic_text_splitter import TextSplitter  # noqa: PLC0415 - its tables take a while, which the start need not wait for

    return TextSplitter.from_tiktoken_model(_VOCABULARY, tokens)
