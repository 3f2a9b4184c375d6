"""The shape of the code: what a reviewer would otherwise have to look for by eye."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pointsman"
EXAMPLES = PACKAGE / "cli" / "examples"  # repositories of somebody's, not ours
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if EXAMPLES not in path.parents)
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# The three places where any exception whatever has to become an answer, an outcome or a log line.
MAY_CATCH_EVERYTHING = {
    "api/door.py": "the edge: whatever it was, the caller gets an answer",
    "supervision/handling.py": "what executes supervised runs: each reaches one end",
    "chat/drives.py": "what executes runs: each reaches one end",
    "jobs/queue/picking.py": "what executes messages: each is done with or comes again",
    "bootstrap/loops.py": "maintenance loops: they neither end the process nor stay dead",
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}
# Written in halves, so that this file does not contain what it looks for.
NAMES_OF_A_WORKPLACE = [
    "/wo" + "rk/",
    r"\.\./sha" + "red",
    "py" + r"pi\.org",
    "pythonho" + r"sted\.org",
    r"registry\.np" + r"mjs\.org",
    r"deb\.deb" + r"ian\.org",
    r"\bissue " + r"#?\d",
    "DESIGN" + r"\.md|HOTPATH" + r"\.md|FACTS" + r"\.md",
    r"/tmp/bash_" + "jobs",
]


def test_every_folder_is_a_package() -> None:
    """Import contracts pass over a folder without an __init__.py unseen."""
    folders = {path.parent for path in SOURCES} | {parent for path in SOURCES for parent in path.parents if parent.is_relative_to(PACKAGE)}
    allowed = {PACKAGE / "migrations" / "versions"}  # revisions are loaded by path, they are not imported
    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders - allowed) if not (folder / "__init__.py").exists()] == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    assert found_in([*SOURCES, *TESTS, *sorted((ROOT / "scripts").rglob("*.py"))], marks) == []


def test_only_the_edges_catch_everything() -> None:
    catching = {path for path in SOURCES if any(catches_everything(node) for node in ast.walk(parsed(path)))}
    assert {path.relative_to(PACKAGE).as_posix() for path in catching} <= MAY_CATCH_EVERYTHING.keys()


def test_no_import_of_ours_hides_in_a_function() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in SOURCES
        for function in ast.walk(parsed(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.stmt) and imports_ours(statement)
    ]
    assert hidden == []


def test_every_module_says_what_it_owns() -> None:
    assert [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(parsed(path))] == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [str(path.relative_to(ROOT)) for path in SOURCES if {path.stem, *path.relative_to(PACKAGE).parts} & VAGUE] == []


def test_nothing_of_ours_is_patched() -> None:
    patching = re.compile(r"unittest\.mo" + r"ck|monkeypatch\.seta" + r"ttr|mocker\.pa" + r"tch")
    assert found_in(TESTS, patching) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    names = re.compile("|".join(NAMES_OF_A_WORKPLACE))
    assert found_in(list(tracked()), names) == []


def tracked() -> Iterator[Path]:
    """Every file that belongs to the repository, or would on the next commit."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository here: an unpacked source distribution has no list of tracked files")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".pdf", ".ico", ".woff2"}:
            yield path


def found_in(paths: list[Path], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in paths
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if (match := pattern.search(line))
    ]


def catches_everything(node: ast.AST) -> bool:
    """`except:`, `except Exception`, `except BaseException`, alone or in a tuple, and `suppress` of them; not what ends in `raise`."""
    if isinstance(node, ast.ExceptHandler):
        return not isinstance(node.body[-1], ast.Raise) and (node.type is None or bool(named(node.type) & {"Exception", "BaseException"}))
    if isinstance(node, ast.Call) and named(node.func) & {"suppress"}:
        return any(named(argument) & {"Exception", "BaseException"} for argument in node.args)
    return False


def named(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Tuple):
        return {name for element in node.elts for name in named(element)}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return {node.id} if isinstance(node, ast.Name) else set()


def imports_ours(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "pointsman"
    return isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "pointsman" for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))
