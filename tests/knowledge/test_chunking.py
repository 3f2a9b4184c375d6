from __future__ import annotations

import pytest

from pointsman.knowledge.chunking import chunk
from pointsman.knowledge.pieces import Piece

SENTENCES = [f"Point {number} of the handbook tells how a signal at milepost {number} is set." for number in range(400)]


def test_a_short_piece_is_one_chunk_with_its_page_and_heading() -> None:
    (only,) = chunk([Piece("Mind the gap.", 3, "Safety > Platforms")])
    assert (only.ordinal, only.content, only.page, only.heading) == (0, "Mind the gap.", 3, "Safety > Platforms")
    assert 1 <= only.tokens <= 6


def test_nothing_of_a_long_text_is_lost_and_chunks_end_with_sentences() -> None:
    chunks = chunk([Piece(" ".join(SENTENCES), None, None)], tokens=100, overlap=10)
    joined = "\n".join(part.content for part in chunks)
    assert all(sentence in joined for sentence in SENTENCES)
    assert [part.ordinal for part in chunks] == list(range(len(chunks)))
    assert all(part.content.endswith(".") and part.tokens <= 100 for part in chunks)


def test_a_chunk_begins_with_the_end_of_the_one_before() -> None:
    text = " ".join(SENTENCES)
    chunks = chunk([Piece(text, None, None)], tokens=120, overlap=30)
    ends = 0
    for part in chunks:
        begin = text.index(part.content)
        assert begin <= ends
        assert not ends or 20 <= ends - begin <= 200, "an overlap of about 30 tokens"
        ends = begin + len(part.content) + 1


def test_without_overlap_chunks_follow_each_other() -> None:
    chunks = chunk([Piece(" ".join(SENTENCES), None, None)], tokens=100, overlap=0)
    assert " ".join(part.content for part in chunks) == " ".join(SENTENCES)


def test_chunks_end_with_paragraphs_where_they_can() -> None:
    paragraphs = [" ".join(SENTENCES[number : number + 3]) for number in range(0, 300, 3)]
    chunks = chunk([Piece("\n\n".join(paragraphs), None, None)], tokens=200, overlap=0)
    assert all(part.content.endswith(tuple(paragraphs)) and part.content.startswith(tuple(paragraphs)) for part in chunks)
    assert "\n\n".join(part.content for part in chunks) == "\n\n".join(paragraphs)
    assert len(chunks) <= 40, "chunks are as full as whole paragraphs allow"


def test_a_chunk_never_crosses_pages_or_headings() -> None:
    pieces = [Piece(f"Short text of page {page}.", page, f"Heading {page}") for page in range(1, 30)]
    chunks = chunk(pieces, tokens=400)
    assert [(part.page, part.heading, part.content) for part in chunks] == [(piece.page, piece.heading, piece.text) for piece in pieces]


@pytest.mark.parametrize("text", ["信号は" * 2000, "🚂" * 3000, "x" * 50_000, "\n" * 5000 + "end", "é" * 5000])
def test_text_without_words_is_cut_too(text: str) -> None:
    chunks = chunk([Piece(text, None, None)], tokens=50, overlap=5)
    assert len(chunks) > 1 or text.strip() == "end"
    assert all(part.content.strip() and len(part.content) <= 50 * 128 and 1 <= part.tokens <= 50 for part in chunks)


def test_blanks_are_no_chunk() -> None:
    assert chunk([Piece(" \n\t ", None, None), Piece("", 1, None)]) == []


def test_an_overlap_as_long_as_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        chunk([], tokens=40, overlap=40)
