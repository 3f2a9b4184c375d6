"""Why a file could not be read, in words for who uploaded it: the reader only ever says a code, so that no file puts words into ours."""

from __future__ import annotations

import re

_SENTENCES = {
    "empty": "The file is empty.",
    "no-text": "There is no text in the file. Pages that are pictures of text, as scans are, must be recognized (OCR) first.",
    "damaged": "The file is damaged or incomplete: it could not be read to its end.",
    "encrypted": "The file is protected by a password. Save it without one.",
    "time": "Reading the file took too long. Split it, or save it anew from the program that made it.",
    "memory": "Reading the file took too much memory. Split it, or save it anew from the program that made it.",
    "too-much-text": "The file holds more text than is taken. Split it.",
    "too-deep": "The file is nested too deeply.",
    "too-many-pages": "The file has more pages than are taken. Split it.",
    "unpacks": "The file unpacks to far more than an ordinary one. Save it anew from the program that made it.",
    "limits": "The file goes far beyond an ordinary one in size or depth. Save it anew from the program that made it.",
    "entities": "The file defines XML entities, which are not expanded. Save it without them.",
    "names": "The file holds parts with names that lead out of it, which no ordinary program writes.",
    "encoding": "The file is no text in UTF-8, UTF-16 with its mark, or Latin-1. Save it as UTF-8.",
    "mismatch": "The file is not what its name says: its content is {}.",
    "unsupported": "Files of this kind are not read ({}). Read are PDF, Markdown, HTML, text, CSV and JSON; where it is installed also "
    "DOCX, PPTX, XLSX and EPUB.",
    "old-office": "The file is of an Office before 2007, or protected by a password. Save it as DOCX, PPTX or XLSX without one.",
    "not-installed": "DOCX, PPTX, XLSX and EPUB are not read here. The operator can install them: pip install 'pointsman[documents]'.",
    "cell": "A cell of the table is too large, or its quotation mark is never closed.",
    "columns": "The table has too many columns.",
    "json": "The file is no valid JSON.",
}
_PLAIN = re.compile(r"[A-Za-z0-9 .,/+-]{1,60}")


def explain(code: str, what: str = "") -> str:
    """The sentence of a code; what is unknown or strange is told as damage."""
    sentence = _SENTENCES.get(code, _SENTENCES["damaged"])
    return sentence.format(what if _PLAIN.fullmatch(what) else "something else")
