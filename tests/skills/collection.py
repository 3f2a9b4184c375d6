"""Twelve small skills such as people write them, as the folders that they would keep in a repository."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

PLAIN, EXECUTABLE = 0o644, 0o755


@dataclass(frozen=True)
class Folder:
    """A skill's folder: contents by path, and the files that may be executed."""

    name: str
    files: dict[str, bytes]
    executable: tuple[str, ...] = ()
    modes: dict[str, int] = field(default_factory=dict[str, int])

    def mode(self, path: str) -> int:
        return self.modes.get(path, EXECUTABLE if path in self.executable else PLAIN)


def _skill(name: str, manifest: str, files: dict[str, str | bytes] | None = None, executable: tuple[str, ...] = ()) -> Folder:
    raw = {path: content.encode() if isinstance(content, str) else content for path, content in (files or {}).items()}
    return Folder(name, {"SKILL.md": manifest.encode(), **raw}, executable)


RELEASE_NOTES = _skill(
    "release-notes",
    """---
name: release-notes
description: Turns a list of merged changes into release notes that users enjoy. Use when asked for a changelog or an announcement.
license: Apache-2.0
metadata:
  author: docs-team
  version: "1.4"
  category: writing
  tags: release, changelog
---

# Release notes

1. Group the changes: **Added**, **Changed**, **Fixed**, **Removed**.
2. Write for the user, not for the author. Say what they can do now.
3. Leave out refactorings. Read `references/tone.md` for examples.
""",
    {"references/tone.md": "# Tone\n\nNot: *refactored the parser*. Rather: *Imports of 2 GB files no longer fail.*\n"},
)

UNIT_CONVERTER = _skill(
    "unit-converter",
    """---
name: unit-converter
description: Converts lengths, weights and temperatures exactly. Use for any conversion instead of calculating yourself.
allowed-tools: current_time memory(recall *)
---
Run `scripts/convert.py VALUE FROM TO`, for instance `scripts/convert.py 3 mi km`. It prints the converted value.
""",
    {
        "scripts/convert.py": """#!/usr/bin/env python3
import sys

FACTORS = {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048, "kg": 1.0, "lb": 0.45359237}


def convert(value: float, source: str, target: str) -> float:
    if source == "c" and target == "f":
        return value * 9 / 5 + 32
    if source == "f" and target == "c":
        return (value - 32) * 5 / 9
    return value * FACTORS[source] / FACTORS[target]


print(f"{convert(float(sys.argv[1]), sys.argv[2], sys.argv[3]):.6g}")
"""
    },
    ("scripts/convert.py",),
)

CSV_PROFILE = _skill(
    "csv-profile",
    """---
name: csv-profile
description: |
  Profiles a CSV file: columns, empty cells, distinct values.
  Use before answering questions about a table.
compatibility: Needs Python 3.9 or newer.
allowed-tools: >-
  current_time,
  think
---

Give the CSV on standard input to `scripts/profile.py`. `assets/sample.csv` shows the form.
""",
    {
        "scripts/profile.py": """import csv
import json
import sys

from lib.columns import describe

rows = list(csv.DictReader(sys.stdin))
print(json.dumps({name: describe([row[name] for row in rows]) for name in (rows[0] if rows else {})}, ensure_ascii=False))
""",
        "scripts/lib/__init__.py": "",
        "scripts/lib/columns.py": """def describe(values):
    return {"distinct": len(set(values)), "empty": sum(not value for value in values)}
""",
        "assets/sample.csv": "name;city\r\nÅsa;Malmö\r\n".encode("cp1252"),
    },
)

UNICODE = _skill(
    "приветствие-客户",
    """---
name: приветствие-客户
description: "Begrüßt Kundinnen und Kunden in ihrer Sprache 🌍 — вежливо, 有礼貌, مؤدّب. Use at the beginning of a conversation."
metadata:
  автор: Анна
---

# Приветствие

Say hello in the user's language: Здравствуйте, 您好, Grüß Gott, مرحبا.
""",
    {"references/фразы/приветствия.md": "Добрый день!\n您好。\n", "assets/значок 🌍.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>"},
)

CRLF = _skill(
    "windows-notes",
    "---\r\nname: windows-notes\r\ndescription: Formats meeting notes that come from Windows editors, line ends and all.\r\n---\r\n\r\n"
    "# Notes\r\n\r\nKeep each line end as it is.\r\n",
    {"references/template.txt": "Date:\r\nPresent:\r\n\r\nDecisions:\r\n", "references/mixed.txt": "a\r\nb\nc\rd"},
)

INCIDENT = _skill(
    "incident-review",
    """---
name: incident-review
description: >
  Leads a blameless review of an incident from its timeline to follow-ups with owners and dates. Use after an outage, when somebody
  asks for a postmortem, or when a timeline of alerts has to become a story that people can learn from.
---

## Steps

- Ask for the timeline. Read `references/questions/when.md`, then `references/questions/why.md`.
- Write the review with the template `assets/templates/review.md`.

---

A rule such as the one above is Markdown, no end of a frontmatter.
""",
    {
        "references/questions/when.md": "When did it begin? When was it noticed?\n",
        "references/questions/why.md": "Why did it seem right at the time?\n",
        "assets/templates/review.md": "# {title}\n\n## What happened\n",
        "LICENSE": "MIT\n",
        "CHANGELOG.md": "1.0 first\n",
    },
)

BINARY = _skill(
    "brand-assets",
    """---
name: brand-assets
description: Answers which logo and colours to use where. Use for questions on presentations and print.
---
The logo is `assets/logo.png`, never stretched. Colours: #0b3d91 and #fc3d21.
""",
    {
        "assets/logo.png": b"\x89PNG\r\n\x1a\n" + b"".join(hashlib.sha256(bytes([index])).digest() for index in range(64)),
        "assets/font.woff2": b"wOF2" + bytes(range(256)) * 8,
        "references/colours.bin": b"\x00\x0b\x3d\x91\x00\xfc\x3d\x21",
        "assets/empty": b"",
    },
)

LONG_DESCRIPTION = _skill(
    "contract-checklist",
    "---\nname: contract-checklist\ndescription: "
    + ("Goes through a contract clause by clause and lists what a lawyer would ask about. " * 13)[:1024].rstrip()
    + "\n---\nWork through `references/clauses.md`. Quote the clause before you judge it.\n",
    {"references/clauses.md": "\n".join(f"{number}. Clause {number}" for number in range(1, 200)) + "\n"},
)

SHELL = _skill(
    "log-summary",
    """---
name: log-summary
description: Counts levels in a log. Use when somebody pastes a log or asks how bad it was.
allowed-tools:
  - current_time
  - memory(recall *)
---
Pipe the log into `scripts/levels.sh`.
""",
    {
        "scripts/levels.sh": "#!/bin/sh\ngrep -oE 'DEBUG|INFO|WARNING|ERROR' | sort | uniq -c | sort -rn\n",
        "scripts/README.txt": "POSIX sh.\n",
    },
    ("scripts/levels.sh",),
)

QUOTED = _skill(
    "yaml-lint",
    """---
# Comments of the author stay where they are.
name: "yaml-lint"
description: 'Checks YAML: "quotes", colons: and #hashes, it''s all here. Use when YAML does not load.'
license: "Proprietary. See LICENSE.txt"   # not ours

metadata:
  short-description: "a: b # c"
---

Explain the first error before the others.   \n\n\n""",
    {".hidden/config": "x=1\n", "LICENSE.txt": "All rights reserved.\n"},
)

STEMS = _skill(
    "meeting-minutes",
    """---
name: meeting-minutes
description: Writes minutes with decisions, owners and dates from a transcript. Use when a meeting was recorded.
---
Decisions first, then actions as `owner: action (date)`. Nothing that was not said.""",
)

REGEX = _skill(
    "regex-coach",
    """---
name: regex-coach
description: Explains and tests regular expressions. Use when a pattern does not match what it should.
allowed-tools: think
---
Test a pattern with `scripts/match.py PATTERN` and the text on standard input; it prints each match with its place.
""",
    {
        "scripts/match.py": """import re, sys

for found in re.finditer(sys.argv[1], sys.stdin.read()):
    print(found.start(), found.group())
""",
        "scripts/cases/dates.txt": "2024-02-30\n",
    },
)

COLLECTION = (
    RELEASE_NOTES,
    UNIT_CONVERTER,
    CSV_PROFILE,
    UNICODE,
    CRLF,
    INCIDENT,
    BINARY,
    LONG_DESCRIPTION,
    SHELL,
    QUOTED,
    STEMS,
    REGEX,
)
