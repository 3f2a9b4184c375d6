"""One gateway, started as its users start it, for all commands that need one; and a command line with nothing behind it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from tests.cli.cli_scene import CommandLine, Scene, running


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """A command line on an empty home."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    home = tmp_path_factory.mktemp("cli")
    data_dir = home / "data"
    command_line = CommandLine(home)
    with running(command_line, "up", "--data-dir", str(data_dir), "--port", "0") as gateway:
        url = gateway.url()
        yield Scene(url, data_dir, command_line.with_environment(POINTSMAN_URL=url, POINTSMAN_DATA_DIR=str(data_dir)))
