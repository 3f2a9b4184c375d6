"""Reads the file on standard input as what it is."""

from __future__ import annotations

import json
import os
import resource
import sys

from pointsman.knowledge.parsing.inside import documents, hypertext, kinds, pdf, plain, records, tables
from pointsman.knowledge.parsing.inside.saying import Answer, Refused

_MB = 2**20
_READERS = {
    "pdf": pdf.read,
    "markdown": plain.read_markdown,
    "text": plain.read_text,
    "html": hypertext.read,
    "csv": tables.read,
    "json": records.read,
    "docx": documents.read,
    "pptx": documents.read,
    "xlsx": documents.read,
    "epub": documents.read,
}


def main(asked: str) -> None:
    """Answer on standard output. What nothing here foresaw ends the process, which the other side takes for a damaged file."""
    order = json.loads(asked)
    _bound(order["memory_mb"], order["cpu_seconds"])
    answer = Answer(sys.stdout.buffer, order["text_bytes"])
    with os.fdopen(0, "rb") as file:
        try:
            kind = kinds.tell(file, order["filename"], order["content_type"])
            _READERS[kind](file, answer, kinds.Asked(kind, order["text_bytes"], order["pages"]))
            answer.end()
        except Refused as refused:
            answer.refuse(refused.code, refused.what)
        except MemoryError:
            answer.refuse("memory")
        except RecursionError:
            answer.refuse("too-deep")


def _bound(memory_mb: int, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * _MB, memory_mb * _MB))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
