"""The command line without a gateway: fast help, exit codes, and errors that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from tests.cli.cli_scene import CommandLine

import pointsman.cli
from pointsman.api.problems import STATUS
from pointsman.cli.commands import SECTIONS
from pointsman.cli.connection import data_dir_of
from pointsman.cli.exits import EXIT_CODE, CommandRefused
from pointsman.cli.inputs import assign, read_length, read_variables
from pointsman.client.errors import KIND_OF_STATUS
from pointsman.kit.problems import Kind
from pointsman.settings import default_data_dir

HEAVY = {
    "sqlalchemy",
    "fastapi",
    "starlette",
    "httpx",
    "pydantic",
    "pydantic_ai",
    "asyncpg",
    "structlog",
    "rich",
    "cryptography",
    "aiohttp",
}


def test_help_loads_nothing_heavy(cli: CommandLine) -> None:
    assert HEAVY & loaded_by(cli, "--help") == set()


def test_a_command_that_talks_http_loads_nothing_of_the_gateway(cli: CommandLine) -> None:
    assert {"sqlalchemy", "fastapi", "asyncpg", "structlog"} & loaded_by(cli, "prompts", "list") == set()


def test_the_version_is_told(cli: CommandLine) -> None:
    assert cli.run("--version").stdout == f"pointsman {pointsman.__version__}\n"


def test_every_command_has_help_and_every_parameter_a_sentence() -> None:
    root = typer.main.get_command(pointsman.cli.app)
    commands = dict(getattr(root, "commands", {}))
    assert set(commands) == {name for section in SECTIONS.values() for name in section}
    for name, command in commands.items():
        for inner in [command, *getattr(command, "commands", {}).values()]:
            assert inner.help, (name, inner.name)
            assert [parameter.name for parameter in inner.params if parameter.name != "help" and not parameter.help] == []


def test_a_typo_in_a_command_is_answered_with_what_was_meant(cli: CommandLine) -> None:
    assert "Did you mean 'prompts'" in cli.run("promts", expect=2).stderr


def test_each_kind_of_problem_has_an_exit_code_and_the_clients_table_is_the_edges() -> None:
    assert set(EXIT_CODE) == set(Kind)
    assert {status: kind for kind, status in STATUS.items()} == KIND_OF_STATUS


def test_the_data_directory_is_the_settings_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert data_dir_of(os.environ) == default_data_dir()
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert data_dir_of(os.environ) == default_data_dir()
    assert data_dir_of({"POINTSMAN_DATA_DIR": str(tmp_path)}) == tmp_path


def test_without_a_gateway_the_command_says_how_to_start_one(cli: CommandLine) -> None:
    lonely = cli.with_environment(POINTSMAN_URL="http://127.0.0.1:9", POINTSMAN_API_KEY="pm_x")
    for arguments in (["prompts", "list"], ["chat", "support", "Hello"], ["runs", "events", "run_1"]):
        if arguments[0] == "runs":
            continue  # a stream of a run is waited for
        done = lonely.run(*arguments, expect=7)
        assert "error: No gateway answers at http://127.0.0.1:9" in done.stderr
        assert "pointsman up" in done.stderr
        assert done.stdout == ""


def test_without_a_key_the_command_says_where_one_is_looked_for(cli: CommandLine) -> None:
    done = cli.run("agents", "list", expect=2)
    assert "POINTSMAN_API_KEY" in done.stderr
    assert "admin-key" in done.stderr


def test_a_setting_that_nobody_knows_is_refused_with_the_one_that_was_meant(cli: CommandLine, tmp_path: Path) -> None:
    done = cli.with_environment(POINTSMAN_PROT="1").run("up", "--data-dir", str(tmp_path / "data"), expect=2)
    assert "POINTSMAN_PORT" in done.stderr
    assert not (tmp_path / "data").exists()


def test_serve_needs_a_server(cli: CommandLine) -> None:
    assert "POINTSMAN_DATABASE__URL is not set" in cli.run("serve", expect=2).stderr


def test_a_data_directory_that_is_a_file_is_a_clear_error(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    done = cli.run("up", "--data-dir", str(tmp_path / "data"), expect=7)
    assert "hint:" in done.stderr


def test_there_is_nothing_to_back_up_before_the_first_start(cli: CommandLine, tmp_path: Path) -> None:
    for arguments in (["db", "url"], ["db", "shell"], ["db", "backup", str(tmp_path / "x")], ["keys", "bootstrap"]):
        assert "There is no database" in cli.run(*arguments, "--data-dir", str(tmp_path / "none"), expect=4).stderr
    assert not (tmp_path / "none").exists()


def test_the_doctor_lists_the_settings_on_a_typo(cli: CommandLine) -> None:
    done = cli.with_environment(POINTSMAN_DATABSE__URL="x").run("doctor", expect=1)
    assert "POINTSMAN_DATABASE__URL" in done.stdout
    assert "POINTSMAN_LOG__LEVEL" in done.stdout


def test_the_doctor_finds_a_new_machine_well(cli: CommandLine) -> None:
    findings = json.loads(cli.run("doctor", "--port", "0", "--json").stdout)
    assert {finding["level"] for finding in findings} <= {"ok", "warn"}


def test_lengths_variables_and_assignments_are_read() -> None:
    assert read_length("90").total_seconds() == 90
    assert read_length("2h").total_seconds() == 7200
    assert read_variables(["a=b=c"]) == {"a": "b=c"}
    body = assign({"config": {"model": "x"}}, ["config.enable_memory=false", "name=Two words", "config.model_settings.temperature=0.5"])
    assert body == {"name": "Two words", "config": {"model": "x", "enable_memory": False, "model_settings": {"temperature": 0.5}}}
    for wrong in (lambda: read_length("soon"), lambda: read_variables(["a"]), lambda: assign({"name": "x"}, ["name.first=1"])):
        with pytest.raises(CommandRefused):
            wrong()


def loaded_by(cli: CommandLine, *arguments: str) -> set[str]:
    """The packages that a command imports."""
    program = (
        "import sys, pointsman.cli as c\ntry: c.main()\nfinally: print('LOADED', *{n.split('.')[0] for n in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=cli.environment, capture_output=True, text=True, timeout=30, check=False)
    return set(done.stderr.rpartition("LOADED")[2].split())
