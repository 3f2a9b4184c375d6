"""Documents are complete, and name only what exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from pointsman.api.app import flatten
from pointsman.api.policies import POLICIES, shape
from pointsman.api.routing import RouteTable
from pointsman.bootstrap import routers
from pointsman.settings import variable_names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ROOT_PAGES = sorted(ROOT.glob("*.md"))
WRITTEN = [path for path in (*PAGES, *ROOT_PAGES) if path.parent.name != "problems"]
CLIENT_VARIABLES = {"POINTSMAN_URL", "POINTSMAN_API_KEY"}
LAST_GUARANTEE = 17
TABLE = RouteTable(flatten(routers()))


def test_generated_pages_are_fresh() -> None:
    outcome = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr


def test_every_page_is_in_the_navigation_and_every_entry_exists() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())
    listed = set(entries(site["project"]["nav"]))
    assert listed == {path.relative_to(DOCS).as_posix() for path in PAGES}


def test_no_page_of_the_site_needs_a_script_from_elsewhere() -> None:
    """The site's theme fetches what draws such diagrams from a public server when somebody reads them."""
    assert [path.name for path in PAGES if "```mermaid" in path.read_text()] == []


def test_every_direct_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for group in (project["dependencies"], *project["optional-dependencies"].values()) for line in group]
    direct = {re.split(r"[\[<>=~!; ]", line, maxsplit=1)[0] for line in lines}
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", (DOCS / "reference" / "dependencies.md").read_text(), re.MULTILINE)
    assert {name for name, sentence in rows if len(sentence) > 10} == direct
    assert len(direct) <= 54


def test_every_guarantee_is_shown_by_a_test_or_said_to_come_later() -> None:
    rows = re.findall(r"^\| \*\*G(\d+)\*\* \| (.+) \| (.*) \| (.*) \|$", (DOCS / "concepts" / "guarantees.md").read_text(), re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, LAST_GUARANTEE + 1))
    unshown = [number for number, _, mechanism, shown in rows if "*later*" not in mechanism and "`tests/" not in shown]
    assert unshown == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
class TestPage:
    def test_names_only_files_that_exist(self, path: Path) -> None:
        named = re.findall(r"`((?:tests|scripts|docs|src|examples|benchmarks)/[\w./-]+)`", path.read_text())
        assert [name for name in named if not (ROOT / name.split("::")[0]).exists()] == []

    def test_names_only_settings_that_exist(self, path: Path) -> None:
        known = {*variable_names(), *CLIENT_VARIABLES}
        named = set(re.findall(r"\bPOINTSMAN_(?:[A-Z]|_(?=[A-Z<]|_[A-Z<])|<NAME>)+", path.read_text()))
        of_providers = {re.sub(r"^(POINTSMAN_(?:PROVIDERS|MCP__STDIO)__)(?!<)\w+?(__)", r"\1<NAME>\2", name) for name in named}
        generic = {re.sub(r"^(POINTSMAN_SECRETS__)\w+$", r"\1<NAME>", name) for name in of_providers}
        assert {name for name in generic if name not in known and not any(other.startswith(f"{name}__") for other in known)} == set()

    def test_names_only_routes_that_exist(self, path: Path) -> None:
        known = {shape(*route.split(" ", 1)) for route in POLICIES}
        named = re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:v2|livez|readyz|metrics|openapi|problems)[\w/{}.-]*)", path.read_text())
        assert [f"{method} {route}" for method, route in named if shape(method, literal(route)) not in known] == []

    def test_calls_only_addresses_that_exist(self, path: Path) -> None:
        shapes = [re.escape(shape("", route.split(" ", 1)[1]).strip()).replace(r"\{\}", "[^/]+") for route in POLICIES]
        called = re.findall(r"http://127\.0\.0\.1:8080(/[\w./-]*[\w])", path.read_text())
        assert [route for route in called if not any(re.fullmatch(known, route) for known in shapes)] == []

    def test_shows_only_json_that_parses(self, path: Path) -> None:
        text = path.read_text()
        bodies = [*re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE), *re.findall(r"-d '(\{.*?\})'", text, re.DOTALL)]
        for body in bodies:
            json.loads(body)

    def test_sends_only_bodies_that_are_accepted(self, path: Path) -> None:
        """Each `curl … -d BODY` is read by the model of the route it is sent to."""
        calls = re.findall(
            r"(?:-X (\w+) )?'?http://127\.0\.0\.1:8080(/[\w./-]+)'?[^\n]*? -d '(\{.*?\})'(?=\n)", path.read_text(), re.DOTALL
        )
        for method, route, body in calls:
            accepted(method or "POST", route, body)

    def test_names_only_targets_of_make_that_exist(self, path: Path) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = re.findall(r"(?:`|^\$ )make ([a-z-]+)", path.read_text(), re.MULTILINE)
        assert [name for name in named if name not in targets] == []

    def test_links_only_to_files_that_exist(self, path: Path) -> None:
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
        assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_documents_name_only_commands_that_exist() -> None:
    """Problem pages included: they are what somebody in trouble reads."""
    commands = set(re.findall(r"^#+ `pointsman (.+)`$", (DOCS / "reference" / "cli.md").read_text(), re.MULTILINE))
    groups = {command.split()[0] for command in commands if " " in command}
    named = {
        (path.name, match)
        for path in (*PAGES, *ROOT_PAGES)
        for match in re.findall(r"(?:`|^\$ |^)pointsman ([a-z]+(?:-[a-z]+)*(?: [a-z]+)?)", path.read_text(), re.MULTILINE)
    }
    known = {(name, match) for name, match in named if match in commands or (match.split()[0] in commands - groups)}
    assert named - known == set()


def test_documents_name_only_options_that_exist() -> None:
    sections = re.split(r"^#+ `pointsman (.+)`$", (DOCS / "reference" / "cli.md").read_text(), flags=re.MULTILINE)
    options = {name: set(re.findall(r"`(--[a-z-]+)", text)) for name, text in zip(sections[1::2], sections[2::2], strict=True)}
    for path in (*PAGES, *ROOT_PAGES):
        for first, second, rest in re.findall(r"\bpointsman ([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?([^`\n]*)", path.read_text()):
            known = options.get(f"{first} {second}") or options.get(first)
            if known is not None:
                assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= known, f"{path.name}: pointsman {first} {second}{rest}"


def test_decisions_are_numbered_and_have_the_same_parts() -> None:
    decisions = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Enforced by"], path.name


def test_the_map_shows_every_folder_of_the_house_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    shown = set(re.findall(r"^  (\w+)(?:/|\.py) ", text, re.MULTILINE))
    house = {path.stem for path in (ROOT / "src" / "pointsman").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert shown == house - {"__init__", "__main__", "__pycache__"}


def test_the_first_pages_stay_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) < 250


def accepted(method: str, route: str, body: str) -> None:
    """Raises what the route would answer with."""
    found = TABLE.find(route.encode())
    assert found is not None, route
    model = found.endpoints[method].body_model
    if isinstance(model, type) and issubclass(model, msgspec.Struct):
        msgspec.json.decode(body, type=model)
    else:
        pydantic.TypeAdapter(model).validate_json(body)


def entries(nav: list[Any]) -> list[str]:
    """The pages of a navigation, whatever their depth."""
    return [
        page
        for item in nav
        for value in (item.values() if isinstance(item, dict) else [item])
        for page in (entries(value) if isinstance(value, list) else [value])
    ]


def literal(route: str) -> str:
    """A route as documents write it, its example ids turned into parameters: they name the collection, then the id."""
    return re.sub(r"(?<=/v2/agents/)support(?=/)", "{id}", route)
