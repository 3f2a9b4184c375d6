"""Finds the gateway and the key for commands that talk HTTP: the environment, else the local data directory."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pointsman.cli.exits import CommandRefused
from pointsman.client import PointsmanClient

DEFAULT_URL = "http://127.0.0.1:8080"
ADMIN_KEY_FILE = "admin-key"


@contextmanager
def connected() -> Generator[PointsmanClient]:
    """A client for the gateway that the environment names. Raises CommandRefused without a key."""
    url = os.environ.get("POINTSMAN_URL") or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise CommandRefused(f"POINTSMAN_URL is {url!r}.", hint=f"Write it with http:// or https://, such as {DEFAULT_URL}.")
    with PointsmanClient(url, find_key(os.environ)) as client:
        yield client


def find_key(environ: Mapping[str, str]) -> str:
    """`POINTSMAN_API_KEY`, else the admin key that the first start left in the data directory."""
    if environ.get("POINTSMAN_API_KEY"):
        return environ["POINTSMAN_API_KEY"].strip()
    path = data_dir_of(environ) / ADMIN_KEY_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise CommandRefused(
            f"There is no key: POINTSMAN_API_KEY is not set, and {path} does not exist.",
            hint="Set POINTSMAN_API_KEY, or POINTSMAN_DATA_DIR to the data directory of a gateway here. `pointsman up` makes both.",
        ) from None
    except (OSError, ValueError) as error:
        raise CommandRefused(f"{path} cannot be read: {error}.", hint="Set POINTSMAN_API_KEY.") from None


def data_dir_of(environ: Mapping[str, str]) -> Path:
    """As the settings have it, whose import would take as long as the whole command; a test holds both together."""
    if environ.get("POINTSMAN_DATA_DIR"):
        return Path(environ["POINTSMAN_DATA_DIR"])
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "pointsman"
