"""What is read from a file: its text, in pieces that each lie on one page and below one heading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file; `page` counts from 1, `heading` is the way to it (`Install > Linux`)."""

    text: str
    page: int | None
    heading: str | None
