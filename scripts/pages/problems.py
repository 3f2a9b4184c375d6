"""A page for each problem: its code, kind, status and what its docstring says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pointsman
from pages.markdown import code, docstring, page, table
from pointsman.api.problems import STATUS
from pointsman.kit.problems import Kind, Problem

PACKAGE = Path(pointsman.__path__[0])
DECLARES = re.compile(r"^    code = \"", re.MULTILINE)
INTRODUCTION = """
Every error answer is an RFC 9457 problem, `application/problem+json`: `type` ends in the `code` that stands below, `title` is constant,
`detail` says what happened this time and `hint` what to do about it; `request_id` finds it in the log. Validation adds
`errors[]`, each with an RFC 6901 `pointer` and a `message`. Programs switch on `code`: a code never changes its meaning.
"""


def pages() -> dict[str, str]:
    """An index and one page per code, by their paths below docs/."""
    found = problems()
    index = table(
        ("Code", "Status", "Title"),
        [(f"[`{name}`]({name}.md)", status_of(problem.kind), problem.title) for name, problem in found.items()],
    )
    return {
        "problems/index.md": page("Problems", INTRODUCTION, index),
        **{f"problems/{name}.md": page_of(problem) for name, problem in found.items()},
    }


def problems() -> dict[str, type[Problem]]:
    """Every problem that any module declares, by code. Only modules that declare one are imported: providers' libraries take seconds."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if DECLARES.search(path.read_text()):
            importlib.import_module(".".join(("pointsman", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"))
    return dict(sorted(Problem.registry.items()))


def page_of(problem: type[Problem]) -> str:
    """One problem's page."""
    if not problem.__dict__.get("__doc__"):
        message = f"{problem.__qualname__} has no docstring, so its page would be empty"
        raise AssertionError(message)
    facts = table(("Code", "Kind", "HTTP status"), [(code(problem.code), problem.kind.value, status_of(problem.kind))])
    return page(problem.title, facts, docstring(problem))


def status_of(kind: Kind) -> str:
    """The status that the HTTP edge gives to a kind."""
    return str(STATUS[kind])
