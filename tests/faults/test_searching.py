from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.faults.searching import search

SECRET = 'sk-live "5/7+ü" Zq3vT9xWb2Lk8Rd4'
PLAIN = "pm_4QzT9xWb2Lk8Rd47hYn5Jc1Vf6"


@pytest.mark.parametrize("offset", range(7))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_seen_through_wherever_the_secret_begins(tmp_path: Path, offset: int, encode: type) -> None:
    (tmp_path / "file").write_bytes(b"Authorization: Basic " + encode(b"x" * offset + SECRET.encode() + b":tail"))
    assert {found.name for found in search([tmp_path], {"key": SECRET})} == {"key"}


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps({"key": SECRET}),
        json.dumps({"body": json.dumps({"key": SECRET})}),
        json.dumps({"key": SECRET}, ensure_ascii=False),
        f"/callback?key={quote(SECRET, safe='')}&x=1",
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        repr(SECRET),
        f"cut after {SECRET[:20]}…",
        f"…{SECRET[-18:]} is all that is left",
    ],
)
def test_a_secret_is_found_in_whatever_form(tmp_path: Path, written: str) -> None:
    (tmp_path / "file").write_bytes(b"\0\xff binary before " + written.encode() + b" and after \0")
    assert {found.name for found in search([tmp_path], {"key": SECRET, "other": PLAIN})} == {"key"}


def test_what_is_found_names_the_secret_and_the_file_and_never_the_value(tmp_path: Path) -> None:
    deep = tmp_path / "base" / "16384" / "2619"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(bytes(8192) + PLAIN.encode() + bytes(8192))
    (tmp_path / "clean").write_bytes(bytes(100))
    found = search([tmp_path], {"admin key": PLAIN})
    assert [(item.name, item.form, item.path) for item in found] == [("admin key", "as it is", deep)]
    assert PLAIN not in repr(found)


def test_what_only_looks_alike_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"{PLAIN[:10]}… {PLAIN.lower()} {SECRET[:12]}")
    assert search([tmp_path], {"admin key": PLAIN, "key": SECRET}) == []


def test_a_secret_too_short_to_be_told_from_chance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too short"):
        search([tmp_path], {"pin": "1234"})


def test_no_file_is_no_search_of_the_folder_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    assert search([], {"admin key": PLAIN}) == []


def test_what_cannot_be_read_is_no_clean_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot be searched"):
        search([tmp_path / "absent"], {"key": SECRET})
