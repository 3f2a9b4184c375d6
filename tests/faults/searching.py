"""Looks for secrets in files, byte by byte, in every form in which one could have got there.

A secret may stand there as it is, cut off, or encoded: base64 (at any of the three offsets, both alphabets), hex, JSON within JSON,
percent, HTML, UTF-16. The search is one pass of `grep` with all forms of all secrets, so that gigabytes of raw database are no matter.
"""

from __future__ import annotations

import base64
import html
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

_SHORTEST = 6  # what is shorter stands in every file by chance
_GONE = "No such file or directory"
_CUT = 16  # so many characters of a secret's beginning or end are as good as found


class Found(NamedTuple):
    """A secret that stood where none may: its name (never its value), the form, and the file."""

    name: str
    form: str
    path: Path

    def __str__(self) -> str:
        return f"{self.name} ({self.form}) in {self.path}"


def forms(value: str) -> dict[str, bytes]:
    """How a secret would look, by the name of the form; forms that look the same stand once."""
    raw = value.encode()
    named = {
        "as it is": raw,
        "its beginning": raw[:_CUT],
        "its end": raw[-_CUT:],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "JSON": json.dumps(value)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(value))[3:-3].encode(),
        "percent": quote(value, safe="").encode(),
        "HTML": html.escape(value).encode(),
        "Python": repr(value)[1:-1].encode(),
        "UTF-16": value.encode("utf-16-le"),
    }
    for offset in range(3):
        named[f"base64 at {offset}"] = encoded = _inner_base64(raw, offset)
        named[f"base64url at {offset}"] = encoded.translate(bytes.maketrans(b"+/", b"-_"))
    seen: set[bytes] = set()
    return {name: form for name, form in named.items() if len(form) >= _SHORTEST and not (form in seen or seen.add(form))}


def search(paths: Sequence[Path], secrets: Mapping[str, str]) -> list[Found]:
    """Every secret in these files and folders; `secrets` are values by name.

    Raises ValueError for a secret that is too short to be told from chance, and OSError when something could not be read.
    """
    names = dict(_needles(secrets))
    if not paths:  # grep would take that for the folder it is started in
        return []
    if absent := [path for path in paths if not path.exists()]:
        raise FileNotFoundError(f"cannot be searched: {absent}")
    with tempfile.NamedTemporaryFile() as patterns:
        patterns.write(b"\n".join(names))
        patterns.flush()
        argv = [_grep(), "-aoFrHZ", "-f", patterns.name, "--", *map(str, paths)]
        done = subprocess.run(argv, capture_output=True, env={"LC_ALL": "C"}, check=False)
    # Below a folder that is in use files come and go; whatever else grep complains of was not searched.
    if unread := [line for line in done.stderr.decode(errors="replace").splitlines() if not line.endswith(_GONE)]:
        raise OSError(f"could not be searched: {unread[:10]}")
    return sorted({Found(*names[match], path) for path, match in _matches(done.stdout)})


def _needles(secrets: Mapping[str, str]) -> Iterator[tuple[bytes, tuple[str, str]]]:
    for name, value in secrets.items():
        if len(value) < _SHORTEST:
            raise ValueError(f"the secret {name} is too short to search for")
        for form, needle in forms(value).items():
            # Lines are patterns: of a secret that has several each is looked for.
            for line in needle.split(b"\n"):
                if len(line) >= _SHORTEST:
                    yield line, (name, form)


def _matches(output: bytes) -> Iterator[tuple[Path, bytes]]:
    """`PATH NUL MATCH NEWLINE`, for each match."""
    for line in output.split(b"\n"):
        path, _, match = line.partition(b"\0")
        if path:
            yield Path(path.decode()), match


def _inner_base64(raw: bytes, offset: int) -> bytes:
    """What every base64 text shows that has these bytes so many bytes after a multiple of three."""
    padded = bytes(offset) + raw
    whole = base64.b64encode(padded[: len(padded) // 3 * 3])
    return whole[(0, 2, 3)[offset] :]


def _grep() -> str:
    found = shutil.which("grep")
    if found is None:
        raise RuntimeError("the search needs grep")
    return found
