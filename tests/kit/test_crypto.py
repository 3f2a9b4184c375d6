from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from pointsman.kit.crypto import RING_FILE, KeyRing, KeyRingUnusable, KeyRingWrong, SecretUnreadable

OPEN_RING = """
import sys
from pathlib import Path
from pointsman.kit.crypto import KeyRing
sys.stdin.readline()
print(KeyRing.open(Path(sys.argv[1]), ()).fingerprints()[0])
"""


def test_a_first_start_makes_a_private_ring_and_the_next_reads_the_same(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "data"
    first = KeyRing.open(data_dir, ())
    assert KeyRing.open(data_dir, ()).fingerprints() == first.fingerprints()
    assert stat.S_IMODE((data_dir / RING_FILE).stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == [RING_FILE]


def test_processes_that_start_together_get_the_same_ring(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN_RING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(answers) == 1
    assert answers != {""}


def test_the_keys_of_the_settings_win_over_the_file(tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    ring = KeyRing.open(tmp_path, (SecretStr(key),))
    assert ring.fingerprints() == KeyRing([key]).fingerprints()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o622])
def test_a_ring_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    KeyRing.open(tmp_path, ())
    (tmp_path / RING_FILE).chmod(mode)
    with pytest.raises(KeyRingUnusable) as caught:
        KeyRing.open(tmp_path, ())
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no key"),
        (b"\n  \n", "holds no key"),
        (b"not a key\n", "Key 1"),
        pytest.param(Fernet.generate_key() + b"\nshort\n", "Key 2", id="the second key is short"),
        pytest.param(Fernet.generate_key()[:-4] + b"\n", "Key 1", id="a key is cut"),
        (b"\xff\xfe\x00", "not text"),
    ],
)
def test_a_damaged_ring_is_refused_and_says_where(tmp_path: Path, content: bytes, said: str) -> None:
    ring = tmp_path / RING_FILE
    ring.write_bytes(content)
    ring.chmod(0o600)
    with pytest.raises(KeyRingUnusable, match=said) as caught:
        KeyRing.open(tmp_path, ())
    assert caught.value.hint
    assert ring.read_bytes() == content


def test_no_ring_is_made_for_a_database_that_has_one(tmp_path: Path) -> None:
    with pytest.raises(KeyRingWrong) as caught:
        KeyRing.open(tmp_path, (), make=False)
    assert "POINTSMAN_KEYRING__KEYS" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_key_in_the_settings_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(KeyRingUnusable, match="Key 2 of POINTSMAN_KEYRING__KEYS") as caught:
        KeyRing.open(tmp_path, (SecretStr(Fernet.generate_key().decode()), SecretStr("hunter2-hunter2")))
    assert "hunter2" not in caught.value.detail + caught.value.hint


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_an_unreadable_ring_is_refused(tmp_path: Path) -> None:
    KeyRing.open(tmp_path, ())
    (tmp_path / RING_FILE).chmod(0)
    with pytest.raises(KeyRingUnusable, match="cannot be read"):
        KeyRing.open(tmp_path, ())


def test_a_folder_a_dangling_link_and_a_file_as_data_directory_are_refused_plainly(tmp_path: Path) -> None:
    (tmp_path / "a" / RING_FILE).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / RING_FILE).symlink_to(tmp_path / "nowhere")
    (tmp_path / "c").write_text("a file")
    for name in "abc":
        with pytest.raises(KeyRingUnusable, match="cannot be"):
            KeyRing.open(tmp_path / name, ())


@pytest.mark.parametrize("plaintext", [b"", b"{}", b'{"a": 1}', b"\x00\xff}}", b'"x"}', b"x" * 100_000])
@pytest.mark.parametrize("identity", ["", "acme/ann/github", 'a","data":', "ключ\n", "\x00"])
def test_what_was_encrypted_for_an_identity_decrypts_for_it(ring: KeyRing, plaintext: bytes, identity: str) -> None:
    assert ring.decrypt(ring.encrypt(plaintext, identity), identity) == plaintext


@pytest.mark.parametrize(
    ("made_for", "read_for"), [("a", "b"), ("a", ""), ("a", "ab"), ("ab", "a"), ('a","data":', "a"), ("a", 'a","data":')]
)
def test_a_ciphertext_moved_to_another_row_does_not_decrypt(ring: KeyRing, made_for: str, read_for: str) -> None:
    with pytest.raises(SecretUnreadable, match="another row"):
        ring.decrypt(ring.encrypt(b'{"secret": "s"}', made_for), read_for)


def test_a_json_plaintext_stays_json_inside_the_token() -> None:
    key = Fernet.generate_key().decode()
    token = KeyRing([key]).encrypt(b'{"access_token": "t"}', "acme/ann/github")
    assert json.loads(Fernet(key).decrypt(token)) == {"identity": "acme/ann/github", "data": {"access_token": "t"}}


@pytest.mark.parametrize("token", ["", "junk", "gAAAAA", "é", "\x00"])
def test_junk_in_the_column_is_a_problem_not_a_crash(ring: KeyRing, token: str) -> None:
    with pytest.raises(SecretUnreadable):
        ring.decrypt(token, "x")
    with pytest.raises(SecretUnreadable):
        ring.rotate(token)
    assert not ring.is_current(token)


def test_one_changed_character_is_noticed(ring: KeyRing) -> None:
    token = ring.encrypt(b"secret", "x")
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    with pytest.raises(SecretUnreadable):
        ring.decrypt(changed, "x")


def test_keys_rotate_and_the_old_one_may_leave() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    token = KeyRing([old]).encrypt(b"secret", "x")
    both = KeyRing([new, old])
    assert both.decrypt(token, "x") == b"secret"
    assert not both.is_current(token)
    rotated = both.rotate(token)
    assert both.is_current(rotated)
    assert KeyRing([new]).decrypt(rotated, "x") == b"secret"
    with pytest.raises(SecretUnreadable):
        KeyRing([new]).decrypt(token, "x")


def test_a_wrong_ring_is_noticed_by_the_canary_with_the_remedy(ring: KeyRing) -> None:
    other = KeyRing([Fernet.generate_key().decode()])
    ring.verify_canary(ring.canary())
    for token in (other.canary(), ring.encrypt(b"x", "key_canary/1"), "junk"):
        with pytest.raises(KeyRingWrong) as caught:
            ring.verify_canary(token)
        assert ring.fingerprints()[0] in caught.value.detail
        assert "POINTSMAN_KEYRING__KEYS" in caught.value.hint


def test_a_fingerprint_is_short_stable_and_no_part_of_the_key() -> None:
    key = Fernet.generate_key().decode()
    (fingerprint,) = KeyRing([key]).fingerprints()
    assert KeyRing([key]).fingerprints() == (fingerprint,)
    assert fingerprint not in key


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing([Fernet.generate_key().decode()])
