"""Reads PDF, page by page."""

from __future__ import annotations

from typing import BinaryIO

from pointsman.knowledge.parsing.inside.kinds import Asked
from pointsman.knowledge.parsing.inside.saying import Answer, Refused


def read(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say each page that has text."""
    import logging  # noqa: PLC0415 - the library is loaded for its own files only, and its warnings interest nobody

    from pypdf import PasswordType, PdfReader  # noqa: PLC0415 - as above
    from pypdf.errors import LimitReachedError, PyPdfError  # noqa: PLC0415 - as above

    logging.disable()
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise Refused("encrypted")
        if len(reader.pages) > asked.pages:
            raise Refused("too-many-pages")
        for number, page in enumerate(reader.pages, 1):
            answer.say(page.extract_text(), number)
    except LimitReachedError:
        raise Refused("limits") from None
    except PyPdfError:
        raise Refused("damaged") from None
