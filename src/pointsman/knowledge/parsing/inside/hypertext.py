"""Reads HTML: what a visitor sees, section by section."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import BinaryIO

from pointsman.knowledge.parsing.inside.kinds import Asked
from pointsman.knowledge.parsing.inside.plain import decode
from pointsman.knowledge.parsing.inside.saying import Answer, Refused

_UNSEEN = {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer"),
    *("form", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_LARGEST = 4  # times the text that may be said, in bytes of the file


def read(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say a page."""
    data = file.read(_LARGEST * asked.text_bytes + 1)
    if len(data) > _LARGEST * asked.text_bytes:
        raise Refused("too-much-text")
    declared = _CHARSET.search(data[:4096])
    page = _Page(answer)
    page.feed(decode(data, declared[1].decode() if declared else None))
    page.close()
    page.finish()


class _Page(HTMLParser):
    """Keeps no tree, hence is indifferent to how deep it is nested."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(convert_charrefs=True)
        self._answer = answer
        self._way: list[tuple[int, str]] = []
        self._section: list[str] = []
        self._title: list[str] | None = None
        self._level = 0
        self._unseen: str | None = None
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if self._unseen is not None:
            self._depth += tag == self._unseen
        elif tag in _UNSEEN:
            self._unseen, self._depth = tag, 1
        elif tag == "body":
            self._unseen = None
        elif tag in _HEADINGS:
            self._close_section()
            self._title, self._level = [], _HEADINGS[tag]
        elif tag in _BLOCKS:
            self._section.append("\n")
        elif tag in {"td", "th"}:
            self._section.append(" | ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._unseen is not None:
            self._depth -= tag == self._unseen
            self._unseen = self._unseen if self._depth else None
        elif tag in _HEADINGS and self._title is not None:
            title = " ".join("".join(self._title).split())
            self._way = (
                [*((level, name) for level, name in self._way if level < self._level), (self._level, title[:200])] if title else self._way
            )
            self._title = None
            self._section = [title, "\n"]
        elif tag in _BLOCKS:
            self._section.append("\n")

    def handle_data(self, data: str) -> None:
        if self._unseen is None:
            (self._section if self._title is None else self._title).append(data)

    def finish(self) -> None:
        """Say what is left."""
        self._section += self._title or []
        self._close_section()

    def _close_section(self) -> None:
        lines = (" ".join(line.split()) for line in "".join(self._section).split("\n"))
        text = re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip()
        self._answer.say(text, None, " > ".join(name for _, name in self._way) or None)
        self._section = []
