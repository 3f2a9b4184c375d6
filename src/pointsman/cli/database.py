"""`pointsman db`: the address of the database, a shell on it, backup and restore."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit

import typer

from pointsman.cli.configuration import read_settings
from pointsman.cli.exits import CommandRefused
from pointsman.cli.options import DataDir
from pointsman.cli.output import show
from pointsman.cli.storage import DatabaseAbsent, Storage
from pointsman.kit.embedded_pg import find_dsn, run_tool
from pointsman.kit.embedded_pg.errors import DatabaseBinariesMissing

app = typer.Typer(
    help="The database itself: address, shell, backup, restore.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

PassphraseFile = Annotated[Path | None, typer.Option("--passphrase-file", help="File whose first line is the passphrase of the key ring.")]

_TERMINAL = ("TERM", "HOME", "LANG", "PAGER", "PATH", "EDITOR", "PSQLRC", "LESS")


@app.command("url")
def url(*, data_dir: DataDir = None) -> None:
    """Print the owner's DSN, which psql and asyncpg take; the embedded server runs while a gateway or `db shell` does."""
    settings = read_settings(data_dir=data_dir)
    if settings.database.url is not None:
        show(settings.database.url.get_secret_value())
        return
    dsn = find_dsn(settings.data_dir)
    if dsn is None:
        raise DatabaseAbsent(
            f"There is no database in {settings.data_dir}.", hint="`pointsman up` makes one; --data-dir names another directory."
        )
    show(dsn)


@app.command("shell", context_settings={"ignore_unknown_options": True})
def shell(
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments for psql, such as -c 'SELECT …'.")] = None,
    *,
    data_dir: DataDir = None,
) -> None:
    """Open psql on the database, starting the embedded server if it does not run."""
    environment = {name: os.environ[name] for name in _TERMINAL if name in os.environ}
    with Storage(read_settings(data_dir=data_dir), make=False) as storage:
        dsn = storage.dsn()
        try:
            code = run_tool("psql", dsn, *(arguments or ()), environment=environment)
        except DatabaseBinariesMissing:
            code = _installed_psql(dsn, arguments or [])
    raise typer.Exit(code)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.")],
    *,
    passphrase_file: PassphraseFile = None,
    no_keyring: Annotated[bool, typer.Option("--no-keyring", help="Do not write the key ring: it is kept elsewhere.")] = False,
    no_objects: Annotated[bool, typer.Option("--no-objects", help="Do not write the files of knowledge: they are kept elsewhere.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Write the whole database to FILE, while the gateway runs or not, and the key ring, encrypted with a passphrase, to FILE.keyring.

    The files of knowledge go to FILE.objects where they lie in a folder of this host; a bucket is backed up by its own means. None of these
    holds the admin key. Without the key ring what is encrypted in the database cannot be read.
    """
    settings = read_settings(data_dir=data_dir)
    import_module("pointsman.cli.backup").backup(settings, file, passphrase_file, with_keyring=not no_keyring, with_objects=not no_objects)


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="File that `db backup` wrote.")],
    *,
    keyring: Annotated[Path | None, typer.Option("--keyring", help="The backup's key ring; unset: FILE.keyring, if it is there.")] = None,
    objects: Annotated[
        Path | None, typer.Option("--objects", help="The backup's files of knowledge; unset: FILE.objects, if it is there.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    force: Annotated[
        str | None, typer.Option("--force", metavar="DATABASE", help="Delete everything in the database of this name before.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Read a backup into an empty database: that of a new data directory, or the one POINTSMAN_DATABASE__URL names.

    It appears whole or not at all. An older release's backup is migrated. No gateway may be running on the database. The files of knowledge
    go into the object store of the settings.
    """
    settings = read_settings(data_dir=data_dir)
    import_module("pointsman.cli.restore").restore(settings, file, keyring, passphrase_file, objects=objects, force=force)


def _installed_psql(dsn: str, arguments: list[str]) -> int:
    psql = shutil.which("psql")
    if psql is None:
        raise CommandRefused("There is no psql here.", hint="Install PostgreSQL's client programs, or the embedded ones (`make setup`).")
    # The DSN with its password goes where other users of this machine do not see it.
    return subprocess.run([psql, *arguments], env={**os.environ, **_libpq(dsn)}, check=False).returncode  # noqa: S603


def _libpq(dsn: str) -> dict[str, str]:
    parts = urlsplit(dsn)
    options = parse_qs(parts.query)
    named = {
        "PGHOST": options.get("host", [parts.hostname or ""])[0],
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
        "PGSSLMODE": options.get("sslmode", [""])[0],
    }
    return {name: value for name, value in named.items() if value}
