"""The key ring outside of its data directory: encrypted with a passphrase, so that it may lie beside the backup it opens."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import typer
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from pointsman.cli.exits import CommandRefused
from pointsman.kit.problems import Kind, Problem

_FORMAT = "pointsman key ring, scrypt + AES-256-GCM"
_SCRYPT = {"n": 2**16, "r": 8, "p": 1}  # 64 MB and a quarter of a second for each guess
_MOST_WORK = 2**20
_SHORTEST = 8


class KeyRingSealed(Problem):
    """The encrypted key ring of a backup cannot be opened: the passphrase is another one, or the file was changed or is none.

    Use the passphrase that was given when the backup was made. Without it, and without the ring itself, what is encrypted in the database
    is lost.
    """

    kind = Kind.INVALID
    code = "key-ring-sealed"
    title = "The key ring of the backup cannot be opened"


def seal(ring: str, passphrase: str) -> bytes:
    """The ring's lines as a file's content."""
    header = {"format": _FORMAT, "kdf": _SCRYPT, "salt": _text(secrets.token_bytes(16)), "nonce": _text(secrets.token_bytes(12))}
    ciphertext = AESGCM(_key(header, passphrase)).encrypt(_bytes(header["nonce"]), ring.encode(), _bound(header))
    return json.dumps({**header, "ciphertext": _text(ciphertext)}, indent=1).encode() + b"\n"


def unseal(content: bytes, passphrase: str) -> str:
    """The ring's lines. Raises KeyRingSealed."""
    try:
        header: dict[str, Any] = json.loads(content)
        ciphertext = _bytes(header.pop("ciphertext"))
        if header["format"] != _FORMAT or header["kdf"]["n"] > _MOST_WORK or header["kdf"]["r"] * header["kdf"]["p"] > 64:
            raise KeyRingSealed("The file is no key ring that this release wrote.", hint="Name the FILE.keyring of the backup.")
        return AESGCM(_key(header, passphrase)).decrypt(_bytes(header["nonce"]), ciphertext, _bound(header)).decode()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyRingSealed("The file is no key ring that this release wrote.", hint="Name the FILE.keyring of the backup.") from None
    except InvalidTag:
        raise KeyRingSealed(
            "The passphrase does not open the key ring.", hint="Use the one that was given when the backup was made."
        ) from None


def ask_passphrase(file: Path | None, *, new: bool) -> str:
    """From the file's first line, else from the terminal, twice where it is `new`. Raises CommandRefused where neither is there."""
    if file is not None:
        passphrase = _first_line(file)
    elif sys.stdin.isatty():
        passphrase = typer.prompt("Passphrase of the key ring", hide_input=True, confirmation_prompt=new, err=True)
    else:
        hint = "Give --passphrase-file FILE, or --no-keyring." if new else "Give --passphrase-file FILE."
        raise CommandRefused("The key ring needs a passphrase, and nobody is there to type it.", hint=hint)
    if new and len(passphrase) < _SHORTEST:
        raise CommandRefused(
            f"The passphrase has fewer than {_SHORTEST} characters.", hint="Take a longer one: whoever has the file may guess."
        )
    return passphrase


def write_private(path: Path, content: bytes) -> None:
    """A new file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _first_line(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandRefused(f"{file} cannot be read: {error}.", hint="Name a text file with the passphrase in its first line.") from None
    return lines[0] if lines else ""


def _key(header: dict[str, Any], passphrase: str) -> bytes:
    kdf = header["kdf"]
    return Scrypt(salt=_bytes(header["salt"]), length=32, n=kdf["n"], r=kdf["r"], p=kdf["p"]).derive(passphrase.encode())


def _bound(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)
