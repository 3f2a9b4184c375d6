"""Runs the client programs of the wheel (psql, pg_dump, pg_restore) against a database, with the password out of everybody's sight."""

from __future__ import annotations

import signal
import subprocess  # noqa: TID251 - this package owns the database's processes
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import IO, NamedTuple
from urllib.parse import unquote, urlsplit

from pointsman.kit.embedded_pg.errors import DatabasePasswordLost, DatabaseStartFailed, DatabaseStillStarting
from pointsman.kit.embedded_pg.probing import DATABASE
from pointsman.kit.embedded_pg.wheel import binary

_NOTHING: Mapping[str, str] = MappingProxyType({})
_CREATE = (
    f"select 'create database {DATABASE}' where not exists (select from pg_database where datname = '{DATABASE}') \\gexec\n".encode()  # noqa: S608
)


class Tool(NamedTuple):
    """A client program ready to run: the password is in the environment, never among the arguments."""

    argv: list[str]
    environment: dict[str, str]


def tool(name: str, dsn: str, *arguments: str, environment: Mapping[str, str] = _NOTHING) -> Tool:
    """Prepare `psql`, `pg_dump` or `pg_restore` for the database of `dsn`; `environment` is for a terminal (TERM, HOME, LANG, PAGER)."""
    address, password = _split_password(dsn)
    variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment}
    if password is not None:
        variables["PGPASSWORD"] = password
    return Tool([str(binary(name)), *arguments, f"--dbname={address}"], variables)


def run_tool(
    name: str,
    dsn: str,
    *arguments: str,
    environment: Mapping[str, str] = _NOTHING,
    stdin: int | IO[bytes] | None = None,
    stdout: int | IO[bytes] | None = None,
) -> int:
    """Run a client program in the terminal we are in and return its exit code; Ctrl-C is for it, not for us."""
    argv, variables = tool(name, dsn, *arguments, environment=environment)
    with _interrupts_ignored():
        return subprocess.run(argv, env=variables, stdin=stdin, stdout=stdout, check=False, restore_signals=True).returncode  # noqa: S603


def require_database(dsn: str) -> None:
    """Log in with the password that we have, and make the database if it is not there."""
    complaint = _ensure_database(dsn.replace(f"/{DATABASE}?", "/postgres?"))
    if not complaint or "too many clients" in complaint or "connection slots" in complaint:
        return
    if "password authentication failed" in complaint:
        raise DatabasePasswordLost(
            "The cluster does not accept the password in pg.password.", hint="Put pg.password back from a copy of the data directory."
        )
    if "starting up" in complaint or "shutting down" in complaint or "recovery" in complaint:
        raise DatabaseStillStarting(complaint, hint="Try again in a moment.")
    raise DatabaseStartFailed(f"The server runs but cannot be used: {complaint}", hint="See pg.log in the data directory.")


def _ensure_database(dsn: str) -> str:
    """Why it cannot be had; empty if it is there."""
    argv, variables = tool("psql", dsn, "-XAtq", "-v", "ON_ERROR_STOP=1", environment={"LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"})
    result = subprocess.run(argv, env=variables, input=_CREATE, capture_output=True, check=False)  # noqa: S603
    return "" if result.returncode == 0 else result.stderr.decode(errors="replace").strip() or "psql failed"


def _split_password(dsn: str) -> tuple[str, str | None]:
    parts = urlsplit(dsn)
    user, _, place = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    netloc = f"{name}@{place}" if name else place
    scheme = parts.scheme.partition("+")[0]  # a driver's name means nothing to libpq
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{netloc}{parts.path}{query}", unquote(password) or None


@contextmanager
def _interrupts_ignored() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # a handler rather than SIG_IGN, which the child would inherit
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
