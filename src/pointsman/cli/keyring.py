"""`pointsman keyring`: which keys encrypt stored secrets, and how a new one takes over while gateways run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from cryptography.fernet import Fernet

from pointsman.cli.backup import check_ring, ring_text
from pointsman.cli.configuration import read_settings
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.keyring_file import write_private
from pointsman.cli.options import DataDir, Json, Yes
from pointsman.cli.output import say, show_json, table
from pointsman.cli.storage import Storage
from pointsman.credentials.rotation import Column, Counted, count, rotate
from pointsman.kit.crypto import RING_FILE, KeyRing
from pointsman.kit.db import Database
from pointsman.settings import Settings

app = typer.Typer(
    help="The keys that encrypt stored secrets, and their rotation.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


@app.command("status")
def show_status(*, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the ring's keys by fingerprint, newest first, and how many stored secrets are not yet under the newest one."""
    settings = read_settings(data_dir=data_dir)
    ring = _ring(settings)
    with Storage(settings, make=False) as storage:
        counted = asyncio.run(_count(storage.dsn(), ring))
    rows = [{"column": f"{column.table}.{column.name}", "newest": seen.current, "older": seen.older} for column, seen in counted.items()]
    if as_json:
        show_json({"keys": ring.fingerprints(), "secrets": rows})
        return
    say(f"keys, newest first: {', '.join(ring.fingerprints())}")
    table(rows, ["column", "newest", "older"])


@app.command("add")
def add_key(
    *,
    last: Annotated[bool, typer.Option("--last", help="Behind the others: it decrypts, and encrypts nothing yet.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make a new key and put it first into DATA_DIR/keyring; gateways take it at their next start.

    Where several run on rings of their own, give them the key with `--last` first, so that each can read it before any uses it.
    """
    path, keys = _own_keys(read_settings(data_dir=data_dir))
    made = Fernet.generate_key().decode()
    ring = [*keys, made] if last else [made, *keys]
    _replace(path, ring)
    say(f"the ring has {len(ring)} keys, newest first: {', '.join(KeyRing(ring).fingerprints())}")
    say("restart every gateway and worker, then run `pointsman keyring rotate`")


@app.command("rotate")
def rotate_secrets(*, data_dir: DataDir = None) -> None:
    """Re-encrypt every stored secret with the newest key, while gateways run; it may be interrupted at any point and run again.

    Every gateway and worker must know the newest key by then: restart them after it was added.
    """
    settings = read_settings(data_dir=data_dir)
    ring = _ring(settings)
    with Storage(settings, make=False) as storage:
        total = asyncio.run(_rotate(storage.dsn(), ring))
    say(f"re-encrypted {total} secrets; `pointsman keyring drop` removes the keys that nothing needs any more")


@app.command("drop")
def drop_keys(*, yes: Yes = False, data_dir: DataDir = None) -> None:
    """Remove all keys but the newest from DATA_DIR/keyring, if no stored secret needs them."""
    settings = read_settings(data_dir=data_dir)
    path, keys = _own_keys(settings)
    with Storage(settings, make=False) as storage:
        counted = asyncio.run(_count(storage.dsn(), _ring(settings)))
    if older := sum(seen.older for seen in counted.values()):
        raise CommandRefused(f"{older} stored secrets still need an older key.", hint="Run `pointsman keyring rotate` first.")
    confirm(f"Remove {len(keys) - 1} keys from {path}? Backups made before need them.", yes=yes)
    _replace(path, keys[:1])
    say(f"the ring is {KeyRing(keys[:1]).fingerprints()[0]}")


def _ring(settings: Settings) -> KeyRing:
    return KeyRing.open(settings.data_dir, settings.keyring.keys, make=False)


def _own_keys(settings: Settings) -> tuple[Path, list[str]]:
    if settings.keyring.keys:
        raise CommandRefused(
            "The ring stands in POINTSMAN_KEYRING__KEYS.", hint="Change the setting: the first key encrypts, all decrypt; then restart."
        )
    _ring(settings)
    return settings.data_dir / RING_FILE, ring_text(settings).split()


def _replace(path: Path, keys: Sequence[str]) -> None:
    """Whole or not at all: whoever reads it meanwhile, or after a crash, finds the old ring or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write_private(draft, "".join(f"{key}\n" for key in keys).encode())
        draft.replace(path)
    except OSError as error:
        raise CommandRefused(
            f"{path} cannot be written: {error.strerror}.", hint="Run this as the user whom the file belongs to."
        ) from None
    finally:
        draft.unlink(missing_ok=True)


async def _count(dsn: str, ring: KeyRing) -> dict[Column, Counted]:
    await check_ring(dsn, ring)
    db = await Database.connect(dsn, pool_size=2, role=None)
    try:
        return await count(db, ring)
    finally:
        await db.close()


async def _rotate(dsn: str, ring: KeyRing) -> int:
    await check_ring(dsn, ring)
    db = await Database.connect(dsn, pool_size=2, role=None)
    try:
        return await rotate(db, ring, _tell)
    finally:
        await db.close()


def _tell(column: Column, counted: Counted) -> None:
    if counted.rotated:
        say(f"{column.table}.{column.name}: {counted.rotated}")
