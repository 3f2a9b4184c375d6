"""Reads files that nobody trusts, each in a process of its own that sees nothing but the file and has no network."""

from __future__ import annotations

from pointsman.knowledge.parsing.errors import ParsingUnavailable, Unreadable
from pointsman.knowledge.parsing.limits import ParsingLimits
from pointsman.knowledge.parsing.parser import Parser
from pointsman.knowledge.pieces import Piece

__all__ = ["Parser", "ParsingLimits", "ParsingUnavailable", "Piece", "Unreadable"]
