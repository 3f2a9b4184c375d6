from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.knowledge.knowledge_scene import Scene, of

from pointsman.kit.egress import Egress, EgressRefused
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.schemas import UriUploadBody
from pointsman.knowledge.sources import Sources
from pointsman.knowledge.storing_errors import SourceMissing, SourceRefused, StoreFailed, TooLarge
from pointsman.settings import KnowledgeSettings, Settings, SettingsInvalid


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The folder that files may be taken from."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "hand book#1.md").write_text("# Welcome")
    (tmp_path / "secret.md").write_text("secret")
    return folder


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.aclose()


@pytest.fixture
def sources(tmp_path: Path, shared: Path, egress: Egress) -> Sources:
    return Sources(settings(tmp_path, file_roots=(str(shared),)), egress)


def settings(tmp_path: Path, **knowledge: object) -> Settings:
    return Settings(data_dir=tmp_path / "data", knowledge=KnowledgeSettings.model_validate(knowledge))


async def taken(sources: Sources, uri: str, most: int = 1000) -> tuple[str, bytes]:
    async with sources.open(uri, most=most) as source:
        return source.filename, b"".join([chunk async for chunk in source.chunks])


async def test_a_file_below_a_root_is_taken_under_its_name(sources: Sources, shared: Path) -> None:
    assert await taken(sources, (shared / "hand book#1.md").as_uri()) == ("hand book#1.md", b"# Welcome")


async def test_a_file_is_taken_in_by_its_address(scene: Scene, sources: Sources, shared: Path) -> None:
    knowledge = replace(scene, sources=sources).service
    body = UriUploadBody(uri=(shared / "hand book#1.md").as_uri(), metadata={"team": "sales"})
    given, kept = await knowledge.fetch(body, "handbook")
    file = await knowledge.store(of("acme"), "acme", given, kept)
    assert (file.original_filename, file.collection_id, file.metadata) == ("hand book#1.md", "handbook", {"team": "sales"})
    await scene.index()
    assert [passage.content for passage in (await scene.search("welcome")).items] == ["# Welcome"]


@pytest.mark.parametrize("uri", ["https://127.0.0.1/x", "https://[::ffff:10.0.0.1]/x", "file:///etc/passwd", "s3://else/x", "gopher://x/"])
async def test_an_address_that_nothing_is_taken_from_leaves_nothing(scene: Scene, sources: Sources, uri: str) -> None:
    with pytest.raises((EgressRefused, SourceRefused)):
        await replace(scene, sources=sources).service.fetch(UriUploadBody(uri=uri), None)
    assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_leftovers") == 0


async def test_a_file_that_is_larger_than_it_may_be_is_refused(sources: Sources, shared: Path) -> None:
    with pytest.raises(TooLarge, match="more than 8 bytes"):
        await taken(sources, (shared / "hand book#1.md").as_uri(), most=8)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "{shared}/../secret.md",
        "{shared}/%2e%2e/secret.md",
        "{shared}/a/..%2f..%2fsecret.md",
        "{shared}x/a",
        "{shared}/a%00b",
        "a",
        "/",
    ],
)
async def test_nothing_outside_the_roots_is_taken(sources: Sources, shared: Path, path: str) -> None:
    uri = "file://" + path.replace("{shared}", str(shared))
    with pytest.raises(SourceRefused):
        sources.check(uri)
    with pytest.raises(SourceRefused):
        await taken(sources, uri)


async def test_a_link_out_of_a_root_is_not_followed_and_one_within_is(sources: Sources, shared: Path) -> None:
    (shared / "out.md").symlink_to("../secret.md")
    (shared / "up").symlink_to("..")
    (shared / "in.md").symlink_to("hand book#1.md")
    for path in ("out.md", "up/secret.md"):
        with pytest.raises(SourceRefused, match="outside"):
            await taken(sources, (shared / path).as_uri())
    assert await taken(sources, (shared / "in.md").as_uri()) == ("in.md", b"# Welcome")


async def test_what_is_no_file_is_told(sources: Sources, shared: Path) -> None:
    os.mkfifo(shared / "pipe")
    for name in ("pipe", "", "absent.md"):
        with pytest.raises(SourceMissing):
            await taken(sources, f"{shared.as_uri()}/{name}")


async def test_the_gateways_own_files_are_never_taken(tmp_path: Path, egress: Egress) -> None:
    own = settings(tmp_path, file_roots=(str(tmp_path),))
    stored = await Objects.of(own).put("other-tenant/file", chunks(b"theirs"), most=100)
    with pytest.raises(SourceRefused, match="own folder"):
        await taken(Sources(own, egress), stored.uri)


async def test_without_roots_no_file_is_taken(tmp_path: Path, shared: Path, egress: Egress) -> None:
    with pytest.raises(SourceRefused, match="outside"):
        await taken(Sources(settings(tmp_path), egress), (shared / "hand book#1.md").as_uri())


async def test_another_host_is_asked_only_where_users_urls_may_lead(sources: Sources) -> None:
    for uri in ("https://127.0.0.1/a", "https://localhost/a", "https://169.254.169.254/latest/meta-data"):
        with pytest.raises(EgressRefused):
            sources.check(uri)


@pytest.mark.parametrize("uri", ["http://example.org/a", "ftp://example.org/a", "data:text/plain,a", "a.txt", "", "memory:///a", "FILE:a"])
async def test_other_schemes_are_refused(sources: Sources, uri: str) -> None:
    with pytest.raises(SourceRefused):
        sources.check(uri)


async def test_buckets_are_those_that_the_operator_named(tmp_path: Path, egress: Egress) -> None:
    options = {"skip_signature": SecretStr("true"), "endpoint": SecretStr("http://127.0.0.1:9")}
    sources = Sources(settings(tmp_path, store="s3://files/own", sources={"s3://files/handbooks": options}), egress)
    sources.check("s3://files/handbooks/a.pdf")
    for uri in ("s3://files/own/a", "s3://files/handbooksx/a", "s3://files/handbooks", "s3://files/handbooks/", "gs://files/handbooks/a"):
        with pytest.raises(SourceRefused):
            sources.check(uri)


async def test_a_bucket_that_does_not_answer_is_a_failure_of_the_store(tmp_path: Path, egress: Egress) -> None:
    options = {"skip_signature": "true", "endpoint": "http://127.0.0.1:9"}
    sources = Sources(settings(tmp_path, sources={"s3://files": options}), egress)
    with pytest.raises(StoreFailed, match="could not be read"):
        await taken(sources, "s3://files/a.pdf")


async def test_a_source_without_credentials_is_refused_at_start(tmp_path: Path, egress: Egress) -> None:
    with pytest.raises(SettingsInvalid, match="gs://handbooks has no credentials"):
        Sources(settings(tmp_path, sources={"gs://handbooks": {}}), egress)


async def chunks(*given: bytes) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk
