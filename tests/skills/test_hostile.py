from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable

import httpx
import pytest
from tests.skills.collection import RELEASE_NOTES
from tests.skills.zips import MANIFEST, special, zip_of, zipped

from pointsman.kit.problems import Problem
from pointsman.skills.errors import SkillInvalid
from pointsman.skills.folders import MOST_BYTES, MOST_FILES, unpack_zip
from pointsman.skills.format import read_manifest


def _bomb() -> bytes:
    return zip_of(("small/assets/zeros", bytes(MOST_BYTES + 1)))


def _many_small_bombs() -> bytes:
    return zip_of(*((f"small/assets/{index}", bytes(MOST_BYTES // 4)) for index in range(5)))


def _lying_bomb() -> bytes:
    """It says that its file is small."""
    data = bytearray(zip_of(("small/assets/zeros", bytes(MOST_BYTES * 2))))
    size = (MOST_BYTES * 2).to_bytes(4, "little")
    while (place := data.find(size)) >= 0:
        data[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def _overlapping() -> bytes:
    """Every entry of the directory points at the same content, as in bombs that need no nesting."""
    forged = bytearray(zip_of(("small/assets/0", bytes(MOST_BYTES // 2)), ("small/assets/1", b"1"), ("small/assets/2", b"2")))
    with zipfile.ZipFile(io.BytesIO(forged)) as archive:
        first = archive.getinfo("small/assets/0").header_offset
    for name in (b"small/assets/1", b"small/assets/2"):
        place = forged.rindex(name)
        forged[place - 4 : place] = first.to_bytes(4, "little")
    return bytes(forged)


def _encrypted() -> bytes:
    data = bytearray(zip_of(("small/secret", b"x")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.rindex(signature)
        data[place + offset] |= 1
    return bytes(data)


def _repeated() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return zip_of(("small/a", b"1"), ("small/a", b"2"))


def _too_many() -> bytes:
    return zip_of(*((f"small/{index}", b"") for index in range(MOST_FILES + 1)))


def _crowded_directory() -> bytes:
    return zip_of(*((f"small/{index}/", b"") for index in range(5001)))


def _nul() -> bytes:
    return zip_of(("small/scripts/XX", b"x")).replace(b"scripts/XX", b"scripts/\x00X")


def _broken_content() -> bytes:
    data = bytearray(zipped(RELEASE_NOTES))
    place = data.index(b"SKILL.md") + 20
    data[place : place + 40] = bytes(40)
    return bytes(data)


def _lzma() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("small/SKILL.md", MANIFEST)
    return data.getvalue()


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "skill-archive-refused"),
    "no zip": (lambda: b"PK is not enough", "skill-archive-refused"),
    "a tar": (lambda: b"\x1f\x8b" + bytes(600), "skill-archive-refused"),
    "a zip that is cut off": (lambda: zipped(RELEASE_NOTES)[:-30], "skill-archive-refused"),
    "a zip with broken content": (_broken_content, "skill-archive-refused"),
    "an empty zip": (lambda: zip_of(manifest=False), "skill-archive-refused"),
    "no manifest": (lambda: zip_of(("small/readme.md", b""), manifest=False), "skill-archive-refused"),
    "a manifest in lower case": (lambda: zip_of(("small/skill.md", MANIFEST), manifest=False), "skill-archive-refused"),
    "a manifest too deep": (lambda: zip_of(("a/b/SKILL.md", MANIFEST), manifest=False), "skill-archive-refused"),
    "two skills": (lambda: zip_of(("other/SKILL.md", MANIFEST)), "skill-archive-refused"),
    "a name that climbs": (lambda: zip_of(("small/../../etc/passwd", b"")), "skill-archive-refused"),
    "a name that climbs within": (lambda: zip_of(("small/a/../b", b"")), "skill-archive-refused"),
    "an absolute name": (lambda: zip_of(("/etc/passwd", b"")), "skill-archive-refused"),
    "a drive": (lambda: zip_of(("C:/windows/a", b"")), "skill-archive-refused"),
    "a drive within": (lambda: zip_of(("small/a\\..\\..\\b", b"")), "skill-archive-refused"),
    "an empty step": (lambda: zip_of(("small//a", b"")), "skill-archive-refused"),
    "a NUL in a name": (_nul, "skill-archive-refused"),
    "a line end in a name": (lambda: zip_of(("small/a\nb", b"")), "skill-archive-refused"),
    "a long name": (lambda: zip_of((f"small/{'n' * 300}", b"")), "skill-archive-refused"),
    "a deep name": (lambda: zip_of((f"small/{'d/' * 20}a", b"")), "skill-archive-refused"),
    "a folder that climbs": (lambda: zip_of(("small/../", b"")), "skill-archive-refused"),
    "a symbolic link": (lambda: zip_of((special("small/link", stat.S_IFLNK), b"/etc/passwd")), "skill-archive-refused"),
    "a device": (lambda: zip_of((special("small/null", stat.S_IFCHR), b"")), "skill-archive-refused"),
    "a pipe": (lambda: zip_of((special("small/pipe", stat.S_IFIFO), b"")), "skill-archive-refused"),
    "a name twice": (_repeated, "skill-archive-refused"),
    "names that differ in case": (lambda: zip_of(("small/a", b"1"), ("small/A", b"2")), "skill-archive-refused"),
    "names that differ in form": (lambda: zip_of(("small/\u00e9", b"1"), ("small/e\u0301", b"2")), "skill-archive-refused"),
    "a file that is a folder": (lambda: zip_of(("small/a", b"1"), ("small/a/b", b"2")), "skill-archive-refused"),
    "encrypted": (_encrypted, "skill-archive-refused"),
    "another compression": (_lzma, "skill-archive-refused"),
    "a bomb": (_bomb, "skill-too-large"),
    "many small bombs": (_many_small_bombs, "skill-too-large"),
    "too many files": (_too_many, "skill-too-large"),
    "a crowded directory": (_crowded_directory, "skill-too-large"),
}


async def test_hostile_archives_are_refused_with_the_reason_and_nothing_is_stored(api: httpx.AsyncClient) -> None:
    for what, (make, code) in REFUSED.items():
        answer = await api.post("/v2/skills/import", files={"file": ("skill.zip", make(), "application/zip")})
        assert (answer.status_code in {413, 422}, answer.json()["code"]) == (True, code), (what, answer.text)
        assert len(answer.json()["detail"]) > 15, what
    assert (await api.get("/v2/skills", params={"include_inactive": True})).json()["items"] == []


@pytest.mark.parametrize("make", [_lying_bomb, _overlapping], ids=["lying", "overlapping"])
def test_a_bomb_that_lies_about_its_size_is_refused_before_it_is_unpacked(make: Callable[[], bytes]) -> None:
    with pytest.raises(Problem):
        unpack_zip(make())


def test_any_damage_to_a_zip_is_read_or_refused_and_nothing_else() -> None:
    whole = zipped(RELEASE_NOTES)
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        try:
            unpack_zip(bytes(damaged))
        except Problem as problem:
            assert problem.detail  # noqa: PT017 - not every damage is one: it may be in a time


async def test_parts_with_hostile_names_are_refused(api: httpx.AsyncClient) -> None:
    for name in ("../a", "/etc/passwd", "small/../../a", "a/../b", "a\\b"):
        parts = [("file", ("small/SKILL.md", MANIFEST)), ("file", (name, b"x"))]
        answer = await api.post("/v2/skills/import", files=parts)
        assert (answer.status_code, answer.json()["code"]) == (422, "skill-archive-refused"), name
    answer = await api.post("/v2/skills/import")
    assert (answer.status_code, answer.json()["code"]) == (422, "skill-archive-refused")


GOOD = "name: small\ndescription: A small skill.\n"
WRONG = {
    "no frontmatter": ("# Small\n", "frontmatter"),
    "no end": ("---\nname: small\n", "does not end"),
    "a mark at the beginning": (f"\ufeff---\n{GOOD}---\n", "byte order mark"),
    "no name": ("---\ndescription: x\n---\n", "name"),
    "no description": ("---\nname: small\n---\n", "description"),
    "a blank description": ("---\nname: small\ndescription: ''\n---\n", "description"),
    "an upper case name": ("---\nname: Small\ndescription: x\n---\n", "small"),
    "a name with a blank": ("---\nname: my skill\ndescription: x\n---\n", "letters, digits and hyphens"),
    "a name with two hyphens": ("---\nname: a--b\ndescription: x\n---\n", "hyphens"),
    "a long name": (f"---\nname: {'n' * 65}\ndescription: x\n---\n", "64"),
    "a long description": (f"---\nname: small\ndescription: {'x' * 1025}\n---\n", "1025"),
    "a long compatibility": (f"---\n{GOOD}compatibility: {'x' * 501}\n---\n", "500"),
    "an unknown field": (f"---\n{GOOD}version: 1\n---\n", "version"),
    "a field twice": (f"---\n{GOOD}name: other\n---\n", "twice"),
    "an alias": ("---\nname: &n small\ndescription: *n\n---\n", "anchor"),
    "a tag": (f"---\n{GOOD}license: !!python/object:os.system x\n---\n", "tag"),
    "brackets": (f"---\n{GOOD}metadata: {{a: b}}\n---\n", "brackets"),
    "deep": (f"---\n{GOOD}metadata:\n  a:\n    b: c\n---\n", "nested"),
    "a list": ("---\n- a\n---\n", "mapping"),
    "no YAML": (f"---\n{GOOD}license: 'x\n---\n", "not YAML"),
    "a tab": (f"---\n{GOOD}metadata:\n\ta: b\n---\n", "not YAML"),
    "hyphens within": ("---\nname: small\ndescription: a --- b\n---\n", "Line 3"),
    "a name that is a list": ("---\nname:\n  - a\ndescription: x\n---\n", "text"),
    "endless": (f"---\n{GOOD}license: {'x' * 40_000}\n---\n", "does not end"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_manifest_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(SkillInvalid) as refused:
        read_manifest(text.encode())
    assert said in f"{refused.value.detail} {refused.value.hint}"


def test_a_manifest_that_is_no_text_is_refused() -> None:
    for data in (b"\xff\xfe-\x00", b"---\nname: small\x00\n---\n"):
        with pytest.raises(SkillInvalid):
            read_manifest(data)
