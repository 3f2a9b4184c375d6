"""The wheel, installed alone: everything is in it, every module imports, and it migrates a database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from pointsman.migrations import HEAD

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "pointsman"

IMPORT_ALL = """
import importlib, pkgutil, sys
import pointsman
assert pointsman.__file__.startswith(sys.argv[1]), pointsman.__file__
skipped = ("pointsman.migrations.env", "pointsman.migrations.versions.")  # Alembic loads these, by path
for module in pkgutil.walk_packages(pointsman.__path__, "pointsman."):
    if not module.name.startswith(skipped) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
MIGRATE = """
import asyncio, sys
from pointsman.migrations import check, migrate
print("RESULT", asyncio.run(migrate(sys.argv[1])).after, asyncio.run(check(sys.argv[1])))
"""
HELP = "from pointsman.cli import main; import sys; sys.argv[0] = 'pointsman'; main()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [_uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    # what `make setup` has fetched is enough; elsewhere the build backend is fetched now
    if subprocess.run([*command, "--offline"], check=False, capture_output=True).returncode:
        subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's own files; its dependencies are the environment's."""
    target = tmp_path_factory.mktemp("installed")
    command = [
        _uv(),
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-deps",
        "--python",
        sys.executable,
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    return target


def test_every_file_of_the_package_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    there = {name for name in _names(wheel) if ".dist-info/" not in name}
    ours = {f"pointsman/{path.relative_to(SOURCE)}" for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert there == ours


@pytest.mark.parametrize("name", ["py.typed", "migrations/env.py", "migrations/versions/0001_catalogue.py"])
def test_what_is_no_import_is_in_the_wheel_too(wheel: Path, name: str) -> None:
    assert f"pointsman/{name}" in _names(wheel)


def test_the_wheel_carries_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "Apache License" in texts["LICENSE"]
    assert "pointsman = pointsman.cli:main" in texts["entry_points.txt"]
    assert "Requires-Python: >=3.11" in texts["METADATA"]


def test_every_module_of_the_installed_wheel_imports(installed: Path) -> None:
    _python(installed, IMPORT_ALL, str(installed))


def test_the_installed_wheel_migrates_a_database(installed: Path, empty_dsn: str) -> None:
    assert f"RESULT {HEAD} []" in _python(installed, MIGRATE, empty_dsn)


def test_the_installed_command_prints_its_help(installed: Path) -> None:
    assert "Usage" in _python(installed, HELP, "--help")


def _python(installed: Path, program: str, *arguments: str) -> str:
    # without `site`, no .pth file is read: the editable installation of the environment does not exist here
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{sysconfig.get_path('purelib')}"}
    command = [sys.executable, "-S", "-c", program, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=installed)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def _uv() -> str:
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".uv" / "bin"), os.environ.get("PATH", "")]))
    if uv is None:
        pytest.skip("needs uv, which `make setup` installs in .uv")
    return uv
