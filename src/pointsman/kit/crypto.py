"""The key ring: Fernet keys that encrypt stored secrets, each ciphertext bound to the row it belongs to."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from pointsman.kit.problems import Kind, Problem

RING_FILE = "keyring"

_CANARY = b'"the key ring of this database"'
_CANARY_IDENTITY = "key_canary/1"
_SETTING = "POINTSMAN_KEYRING__KEYS"
_RESTORE = f"Restore the file `{RING_FILE}` of the data directory that belongs to this database, or set {_SETTING} to its keys."


class KeyRingUnusable(Problem):
    """The key ring cannot be read, is readable by others, is empty or holds a line that is no Fernet key; nothing starts without it.

    The detail names the file or setting and what is wrong; the hint says how to mend it. A ring that was lost is restored from the
    backup that was made of it: a new one cannot read what the old one encrypted.
    """

    kind = Kind.INTERNAL
    code = "key-ring-unusable"
    title = "The key ring cannot be used"


class KeyRingWrong(Problem):
    """The key ring is sound, but it is not the one that encrypted the secrets in this database.

    It happens when a database was restored, or a second machine was started, without the ring that belongs to it. Put the right ring
    into the data directory or into `POINTSMAN_KEYRING__KEYS`, old keys included, and start again.
    """

    kind = Kind.INTERNAL
    code = "key-ring-wrong"
    title = "The key ring does not belong to this database"


class SecretUnreadable(Problem):
    """A stored secret could not be decrypted: its key is no longer in the ring, or the value was changed or moved from another row.

    Put the missing key back at the end of the ring, or store the secret again.
    """

    kind = Kind.INTERNAL
    code = "secret-unreadable"
    title = "A stored secret cannot be read"


class KeyRing:
    """Encrypts with the newest key, decrypts with any. Make one with `open`."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys, newest first. Raises ValueError where one is no Fernet key."""
        self._keys = tuple(keys)
        self._newest = Fernet(self._keys[0])
        self._ring = MultiFernet([Fernet(key) for key in self._keys])

    @classmethod
    def open(cls, data_dir: Path, keys: Sequence[SecretStr], *, make: bool = True) -> KeyRing:
        """The ring of the settings, else of `data_dir/keyring`; where there is none, a new one is made.

        Without `make` none is made, since the database has secrets of another ring already: KeyRingWrong. Raises KeyRingUnusable.
        """
        if keys:
            return _parsed([key.get_secret_value().strip() for key in keys], source=_SETTING)
        path = data_dir / RING_FILE
        if not make and not path.exists():
            raise KeyRingWrong(f"There is no key ring at {path}, and this database has secrets of one.", hint=_RESTORE)
        return _parsed(_lines(path), source=str(path))

    def encrypt(self, plaintext: bytes, identity: str) -> str:
        """A Fernet token of the plaintext and the identity of the row it is for; JSON stays JSON inside."""
        return self._newest.encrypt(_opening(identity) + plaintext + _CLOSING).decode()

    def decrypt(self, token: str, identity: str) -> bytes:
        """The plaintext, if the token was made for this identity. Raises SecretUnreadable."""
        try:
            framed = self._ring.decrypt(token)
        except (InvalidToken, ValueError):
            raise SecretUnreadable("No key of the ring decrypts this value, or it was changed.") from None
        opening = _opening(identity)
        if not (framed.startswith(opening) and framed.endswith(_CLOSING)):
            raise SecretUnreadable("The stored value was made for another row.", hint="Store the secret again.")
        return framed[len(opening) : -len(_CLOSING)]

    def rotate(self, token: str) -> str:
        """The same secret under the newest key. Raises SecretUnreadable."""
        try:
            return self._ring.rotate(token).decode()
        except (InvalidToken, ValueError):
            raise SecretUnreadable("No key of the ring decrypts this value, or it was changed.") from None

    def is_current(self, token: str) -> bool:
        """Whether the newest key made this token, so that older keys may leave the ring."""
        try:
            self._newest.decrypt(token)
        except (InvalidToken, ValueError):
            return False
        return True

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """A key for one purpose from each key of the ring, newest first; none tells anything about the ring or about another purpose."""
        return tuple(hmac.new(key.encode(), b"pointsman derived key\0" + purpose.encode(), hashlib.sha256).digest() for key in self._keys)

    def canary(self) -> str:
        """A token for the database to remember, by which a wrong ring is noticed before it does harm."""
        return self.encrypt(_CANARY, _CANARY_IDENTITY)

    def verify_canary(self, token: str) -> None:
        """Raise KeyRingWrong unless this ring made the token (or holds the key that did)."""
        try:
            sound = self.decrypt(token, _CANARY_IDENTITY) == _CANARY
        except SecretUnreadable:
            sound = False
        if not sound:
            raise KeyRingWrong(
                f"This ring (fingerprints {', '.join(self.fingerprints())}) did not encrypt the secrets of this database.",
                hint=_RESTORE,
            )

    def fingerprints(self) -> tuple[str, ...]:
        """A short name of each key, newest first, that tells nothing about it."""
        return tuple(hashlib.sha256(b"pointsman key fingerprint\0" + key.encode()).hexdigest()[:12] for key in self._keys)


_CLOSING = b"}"


def _opening(identity: str) -> bytes:
    # A JSON string ends at its first bare quote, so no identity's opening is the beginning of another's.
    return b'{"identity":' + json.dumps(identity).encode() + b',"data":'


def _parsed(keys: Sequence[str], *, source: str) -> KeyRing:
    if not keys:
        raise KeyRingUnusable(f"{source} holds no key.", hint="Restore it from its backup; remove it only if no secret was ever stored.")
    for number, key in enumerate(keys, 1):
        if not _is_fernet_key(key):
            raise KeyRingUnusable(
                f"Key {number} of {source} is not a Fernet key: 32 bytes in URL-safe base64.",
                hint="Restore the ring from its backup. Each key stands alone, one a line in the file, newest first.",
            )
    return KeyRing(keys)


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> list[str]:
    try:
        if not path.exists():
            _create(path)
        text = _read(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyRingUnusable(
            f"The key ring {path} cannot be read: {reason}.",
            hint=f"Make it a file that belongs to the user who runs this (uid {os.getuid()}), mode 0600, or set {_SETTING}.",
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read(path: Path) -> str:
    with path.open("rb") as file:
        # Asked of the open file, not of the path: what is checked is what is read.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise KeyRingUnusable(
                f"The key ring {path} may be read or changed by others (mode {mode:04o}).",
                hint=f"chmod 600 '{path}'; if others may have read it, rotate the keys as well.",
            )
        return file.read().decode()


def _create(path: Path) -> None:
    """Make a ring of one new key, or leave the one that another process made meanwhile.

    The file appears whole under its name by `link`, which refuses to replace: of processes starting together one wins, all read its ring.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _write_through(draft, Fernet.generate_key() + b"\n")
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        return
    except OSError as error:
        raise KeyRingUnusable(
            f"The key ring {path} cannot be made: {error.strerror}.",
            hint=f"Make the data directory writable for the user who runs this (uid {os.getuid()}), or set {_SETTING}.",
        ) from error


def _write_through(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Without it a power cut right after the first secret was stored could keep the secret and lose its key.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
