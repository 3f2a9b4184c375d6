"""What came over the network, as text that can be told to a model and kept."""

from __future__ import annotations

import codecs
import re

LONGEST = 50_000
"""Characters of one answer that a model is told."""

_TEXT = re.compile(r"text/.*|application/([^/]*\+)?(json|xml|yaml)|application/(x-ndjson|x-yaml|javascript|x-www-form-urlencoded|graphql)")
# By Python's names, some of which stand for things that are no charsets, or take long.
_CHARSETS = re.compile(
    r"ascii|utf-8|utf-16(-[bl]e)?|iso8859-\d+|cp125\d|gb2312|gbk|gb18030|big5|shift_jis|cp932|euc_jp|euc_kr|iso2022_jp|koi8-[ru]"
)


def is_text(media_type: str) -> bool:
    """Whether a body of this type, in lower case and without parameters, can be shown as it is."""
    return _TEXT.fullmatch(media_type) is not None


def is_utf8(body: bytes) -> bool:
    """Whether this is text without saying so; it may end within a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def decoded(body: bytes, charset: str | None) -> str:
    """The body as text, whatever it holds and says of itself."""
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        name = "utf-8"
    return plain(body.decode(name if _CHARSETS.fullmatch(name) else "utf-8", "replace"))


def plain(text: str) -> str:
    """Without NUL and halves of surrogate pairs, which no text of a database holds."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def cut(text: str, most: int = LONGEST) -> str:
    """The text, or its beginning and that it is one."""
    return text if len(text) <= most else f"{text[:most]}\n(Cut off here: there is more of it.)"
