from __future__ import annotations

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from pointsman.knowledge.objects import Objects
from pointsman.knowledge.stores import Place
from pointsman.knowledge.storing_errors import ObjectMissing, StoreFailed, TooLarge
from pointsman.settings import KnowledgeSettings, Settings, SettingsInvalid

PIECE = bytes(range(256)) * 256


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.of(Settings(data_dir=tmp_path))


async def pieces(count: int, failure: BaseException | None = None) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield PIECE
    if failure is not None:
        raise failure


async def content(objects: Objects, uri: str) -> bytes:
    return b"".join([chunk async for chunk in objects.read(uri)])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_what_was_put_is_read_listed_and_deleted(objects: Objects, tmp_path: Path) -> None:
    stored = await objects.put("acme/handbook.pdf", pieces(200), most=200 * len(PIECE))
    assert stored.uri == (tmp_path / "objects/acme/handbook.pdf").as_uri()
    assert (stored.size, stored.sha256) == (200 * len(PIECE), hashlib.sha256(PIECE * 200).hexdigest())
    assert await content(objects, stored.uri) == PIECE * 200
    await objects.put("acmeter/other", pieces(1), most=10**6)
    assert await objects.list("acme") == [stored.uri]
    assert len(await objects.list()) == 2
    await objects.delete(stored.uri)
    await objects.delete(stored.uri)
    assert await objects.list("acme") == []
    with pytest.raises(ObjectMissing):
        await content(objects, stored.uri)


async def test_only_the_account_of_the_gateway_may_read_files_and_folders(objects: Objects, tmp_path: Path) -> None:
    await objects.put("a/b/c", pieces(1), most=10**6)
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"objects": 0o700, "objects/a": 0o700, "objects/a/b": 0o700, "objects/a/b/c": 0o600}


async def test_past_the_bound_nothing_is_left(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="more than 6000000 bytes"):
        await objects.put("a/large", pieces(200), most=6_000_000)
    assert files(tmp_path) == []


async def test_what_the_sender_fails_with_comes_out_and_nothing_is_left(objects: Objects, tmp_path: Path) -> None:
    for failure in (ConnectionResetError("it went away"), ValueError("no boundary")):
        with pytest.raises(type(failure), match=str(failure)):
            await objects.put("a/cut", pieces(100, failure), most=10**8)
    assert files(tmp_path) == []


async def test_a_failed_put_leaves_what_was_there(objects: Objects) -> None:
    stored = await objects.put("a/file", pieces(1), most=10**6)
    with pytest.raises(TooLarge):
        await objects.put("a/file", pieces(3), most=len(PIECE))
    assert await content(objects, stored.uri) == PIECE


async def test_a_put_that_is_cancelled_leaves_nothing(objects: Objects, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield PIECE
            if len(list(tmp_path.rglob("*#*"))) == 1:
                begun.set()
                await asyncio.sleep(3600)
            await asyncio.sleep(0)

    putting = asyncio.create_task(objects.put("a/endless", endless(), most=10**9))
    await begun.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    async with asyncio.timeout(5):
        while files(tmp_path):
            await asyncio.sleep(0.01)


async def test_deleting_takes_along_what_a_killed_put_left(objects: Objects, tmp_path: Path) -> None:
    other = await objects.put("ab", pieces(1), most=10**6)
    for name in ("a#1", "a#2"):
        (tmp_path / "objects" / name).write_bytes(b"half of a file")
    for _ in range(2):
        await objects.delete(objects.uri("a"))
        assert files(tmp_path) == ["objects/ab"]
    assert await objects.list() == [other.uri]


@pytest.mark.parametrize("key", ["", "/a", "a/", "../a", "a/../b", "a//b", ".hidden", "a b", "a\0", "ä", "a#1"])
async def test_a_key_that_could_lead_elsewhere_is_none(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        await objects.put(key, pieces(1), most=10**6)


async def test_a_uri_of_another_place_is_never_read_or_deleted(objects: Objects, tmp_path: Path) -> None:
    secret = tmp_path / "keyring"
    secret.write_text("secret")
    base = (tmp_path / "objects").as_uri()
    for uri in (secret.as_uri(), f"{base}/../keyring", f"{base}/%2e%2e/keyring", f"{base}x/a", "s3://other/a", ""):
        with pytest.raises(ObjectMissing):
            await content(objects, uri)
        with pytest.raises(ObjectMissing):
            await objects.delete(uri)
    assert secret.exists()


async def test_a_store_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file is in the way")
    with pytest.raises(StoreFailed, match="could not be kept"):
        await Objects.of(Settings(data_dir=tmp_path)).put("a", pieces(1), most=10**6)


def test_a_google_bucket_without_credentials_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(SettingsInvalid, match="gs://files has no credentials"):
        Objects.of(Settings(knowledge=KnowledgeSettings(store="gs://files")))
    public = Settings(knowledge=KnowledgeSettings(store="gs://files", store_options={"skip_signature": SecretStr("true")}))
    assert Place.of_store(public).uri("a/b") == "gs://files/a/b"


async def test_options_that_no_store_has_are_told_without_their_values() -> None:
    settings = Settings(knowledge=KnowledgeSettings(store="s3://files/below", store_options={"acces_key": SecretStr("hush")}))
    with pytest.raises(SettingsInvalid, match="s3://files/below cannot be opened") as refused:
        await Objects.of(settings).list()
    assert "hush" not in refused.value.detail
