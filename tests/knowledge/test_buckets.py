"""The three kinds of buckets, on the wire: a server on loopback that answers what their protocols answer, as far as this gateway asks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Generator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.fakes.object_stores import BUCKET, SECRET, ObjectStores, start_object_stores
from tests.knowledge.knowledge_scene import OPERATOR, Scene, pieces

from pointsman.kit.egress import Egress
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.schemas import UriUploadBody
from pointsman.knowledge.sources import Sources
from pointsman.knowledge.storing_errors import ObjectMissing, SourceMissing, SourceRefused, StoreFailed, TooLarge
from pointsman.settings import KnowledgeSettings, Settings

LARGE = bytes(range(256)) * (6 * 2**12)  # of two parts

pytestmark = pytest.mark.parametrize("kind", ["s3", "gs", "az"])


@pytest.fixture(scope="module")
def stores() -> Generator[ObjectStores]:
    with start_object_stores() as stores:
        yield stores


@pytest.fixture
def bucket(stores: ObjectStores, kind: str, tmp_path: Path) -> Settings:
    """Settings with a place of its own within the bucket."""
    store = f"{kind}://{BUCKET}/{tmp_path.name}"
    options = {name: SecretStr(value) for name, value in stores.options(kind).items()}
    return Settings(data_dir=tmp_path, knowledge=KnowledgeSettings(store=store, store_options=options))


@pytest.fixture
def objects(bucket: Settings) -> Objects:
    return Objects.of(bucket)


async def content(objects: Objects, uri: str) -> bytes:
    return b"".join([chunk async for chunk in objects.read(uri)])


async def test_what_was_put_is_read_listed_and_deleted(objects: Objects, stores: ObjectStores, kind: str, tmp_path: Path) -> None:
    large = await objects.put("acme/large.bin", pieces(LARGE), most=10**9)
    assert large.uri == f"{kind}://{BUCKET}/{tmp_path.name}/acme/large.bin"
    assert (large.size, large.sha256) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    small = [(await objects.put(f"acme/{number}", pieces(b"small"), most=100)).uri for number in range(4)]
    other = await objects.put("acmeter/0", pieces(b"other"), most=100)
    assert await content(objects, large.uri) == LARGE
    assert await objects.list("acme") == [*small, large.uri]
    assert await objects.list() == [*small, large.uri, other.uri]
    await objects.put("acme/0", pieces(b"new"), most=100)
    assert await content(objects, small[0]) == b"new"
    for uri in (large.uri, large.uri, small[0]):
        await objects.delete(uri)
    assert await objects.list("acme") == small[1:]
    with pytest.raises(ObjectMissing):
        await content(objects, large.uri)
    assert stores.state(kind)["uploads"] == 0


async def test_a_put_that_fails_leaves_no_object(objects: Objects, stores: ObjectStores, kind: str, tmp_path: Path) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionResetError("it went away")

    with pytest.raises(ConnectionResetError):
        await objects.put("cut", cut(), most=10**9)
    with pytest.raises(TooLarge, match="more than 5500000 bytes"):
        await objects.put("long", pieces(LARGE), most=5_500_000)
    assert await objects.list() == []
    state = stores.state(kind)
    assert not any(key.startswith(tmp_path.name) for key in state["keys"])
    # Azure has no way to give a begun upload up: what it was sent goes by itself after a week.
    assert kind == "az" or state["uploads"] == 0


async def test_a_key_that_the_store_does_not_know_is_told(bucket: Settings, kind: str) -> None:
    name = {"s3": "access_key_id", "gs": "bearer_token", "az": "account_name"}[kind]
    options = bucket.knowledge.store_options | {name: SecretStr("somebody")}
    wrong = bucket.model_copy(update={"knowledge": bucket.knowledge.model_copy(update={"store_options": options})})
    with pytest.raises(StoreFailed, match="could not be kept") as failed:
        await Objects.of(wrong).put("a", pieces(b"x"), most=10)
    assert SECRET not in failed.value.detail
    assert "somebody" not in failed.value.detail


async def test_a_file_goes_through_it_from_upload_to_deletion_and_may_be_taken_from_it(scene: Scene, bucket: Settings, kind: str) -> None:
    scene = replace(scene, objects=Objects.of(bucket))
    file = await scene.upload("One.\nTwo.")
    assert file.gcs_path is not None
    assert file.gcs_path.startswith(f"{kind}://{BUCKET}/")
    await scene.index()
    assert await scene.found("two") == ["Two."]
    changed = await scene.upload("Three.", file_id=file.file_id)
    await scene.index()
    await scene.clearing.run_once()
    assert await scene.objects.list() == [changed.gcs_path]
    assert await scene.found("three") == ["Three."]
    await scene.service.delete_file(OPERATOR, "acme", str(file.file_id))
    assert await scene.objects.list() == []
    assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_leftovers") == 0
    await take_from(scene, bucket)


async def take_from(scene: Scene, bucket: Settings) -> None:
    """A file is taken from it by its address, below what the operator allows."""
    base = bucket.knowledge.store
    await scene.objects.put("shared/notes.txt", pieces(b"Four."), most=100)
    knowledge = KnowledgeSettings(sources={f"{base}/shared": dict(bucket.knowledge.store_options)})
    scene = replace(scene, sources=Sources(Settings(data_dir=bucket.data_dir, knowledge=knowledge), Egress()))
    given, kept = await scene.service.fetch(UriUploadBody(uri=f"{base}/shared/notes.txt"), None)
    assert (given.filename, kept.size) == ("notes.txt", 5)
    assert await content(scene.objects, kept.uri) == b"Four."
    with pytest.raises(SourceMissing):
        await scene.service.fetch(UriUploadBody(uri=f"{base}/shared/none.txt"), None)
    with pytest.raises(SourceRefused):
        await scene.service.fetch(UriUploadBody(uri=f"{base}/other/notes.txt"), None)
