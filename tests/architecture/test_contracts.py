"""Import contracts: kept by the code, and each shown to break on a one-line trespass."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pointsman"
CONFIG = ROOT / ".importlinter"

TRESPASSES = [
    ("house", "kit/clock.py", "from pointsman.settings import Settings"),
    ("house", "prompts/models.py", "from pointsman.agents.models import Agent"),
    ("house", "prompts/models.py", "from pointsman.skills.models import Skill"),
    ("house", "web/paging.py", "def late():\n    from pointsman.access import models"),
    ("house", "turns/__init__.py", "import pointsman.chat"),
    ("models", "turns/__init__.py", "from pydantic_ai.messages import ModelRequest"),
    ("models", "usage/models.py", "import openai"),
    ("models", "chat/__init__.py", "from anthropic import AsyncAnthropic"),
    ("models", "agents/models.py", "from google import genai"),
    ("mcp", "tools/sources.py", "from mcp import Client"),
    ("mcp", "chat/turning.py", "import mcp_types"),
    ("models", "tools/mcp/pool.py", "import httpx2"),
    ("egress", "tools/__init__.py", "import httpx"),
    ("egress", "prompts/models.py", "from aiohttp import ClientSession"),
    ("egress", "kit/clock.py", "import httpx"),
    ("http", "prompts/models.py", "from fastapi import HTTPException"),
    ("http", "usage/models.py", "from starlette.responses import JSONResponse"),
    ("terminal", "agents/models.py", "import rich"),
    ("terminal", "api/__init__.py", "import typer"),
    ("sqlalchemy", "prompts/queries.py", "from sqlalchemy import text"),
    ("sqlalchemy", "kit/db.py", "def late():\n    from sqlalchemy.ext.asyncio import AsyncSession"),
    ("sqlalchemy", "agents/models.py", "import alembic"),
    ("tables", "runs/models.py", "from pointsman.settings import Settings"),
]


def test_every_contract_is_kept() -> None:
    outcome = lint(PACKAGE.parent)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(("contract", "file", "line"), TRESPASSES, ids=lambda value: str(value).replace("\n", " "))
def test_one_line_breaks_the_contract(tmp_path: Path, contract: str, file: str, line: str) -> None:
    house = copy_of_the_house(tmp_path)
    (house / file).write_text(f"{(house / file).read_text()}\n{line}\n")
    outcome = lint(tmp_path, "--contract", contract)
    assert outcome.returncode == 1, outcome.stdout
    assert "BROKEN" in outcome.stdout
    assert "pointsman." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") in outcome.stdout


def test_every_contract_has_a_trespass() -> None:
    sections = configuration().sections()
    contracts = {name.rpartition(":")[2] for name in sections if ":contract:" in name}
    assert contracts == {contract for contract, _, _ in TRESPASSES}


def test_no_layer_may_import_any_layer_above_it(tmp_path: Path) -> None:
    """The whole order at once: every layer imports everything above it, and every single one of these imports is reported."""
    house = copy_of_the_house(tmp_path)
    present = [[name for name in row if path_of(house, name)] for row in layers()]
    expected: set[tuple[str, str]] = set()
    for above, row in zip(accumulated(present), present, strict=True):
        for name in row:
            file = path_of(house, name)
            assert file is not None
            file.write_text(file.read_text() + "".join(f"\nimport pointsman.{higher}" for higher in above) + "\n")
            expected |= {(name, higher) for higher in above}
    outcome = lint(tmp_path, "--contract", "house")
    reported = set(re.findall(r"pointsman\.(\w+) is not allowed to import pointsman\.(\w+):", " ".join(outcome.stdout.split())))
    assert expected - reported == set()


def test_a_new_folder_needs_a_place_in_the_house(tmp_path: Path) -> None:
    house = copy_of_the_house(tmp_path)
    (house / "elsewhere").mkdir()
    (house / "elsewhere" / "__init__.py").touch()
    assert lint(tmp_path, "--contract", "house").returncode == 1


def test_a_layer_in_parentheses_has_no_folder_yet() -> None:
    optional = [name.strip("()") for row in layers(bare=False) for name in row if name.startswith("(")]
    assert [name for name in optional if path_of(PACKAGE, name)] == []


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below `folder`, which the current directory puts first on the path."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-logo", "--no-cache", "--config", str(CONFIG), *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "400", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def copy_of_the_house(folder: Path) -> Path:
    return Path(shutil.copytree(PACKAGE, folder / "pointsman", ignore=shutil.ignore_patterns("__pycache__")))


def configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(CONFIG)
    return parser


def layers(*, bare: bool = True) -> list[list[str]]:
    """The rows of the house from the top down."""
    rows = [re.split(r"\s*[|:]\s*", row) for row in configuration()["importlinter:contract:house"]["layers"].split("\n") if row]
    return [[name.strip("()") if bare else name for name in row] for row in rows]


def path_of(house: Path, layer: str) -> Path | None:
    """The file in which a layer's imports may stand."""
    candidates = (house / layer / "__init__.py", house / f"{layer}.py")
    return next((path for path in candidates if path.exists()), None)


def accumulated(rows: list[list[str]]) -> list[list[str]]:
    """For each row, all names of the rows above it."""
    return [[name for row in rows[:index] for name in row] for index in range(len(rows))]
