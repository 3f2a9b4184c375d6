"""From an upload to what is found: statuses, repeats, new content, deletion."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.knowledge.knowledge_scene import OPERATOR, Scene, a_uuid, pieces, read_lines

from pointsman.kit.problems import Unavailable
from pointsman.knowledge.errors import EmbedderMissing, KnowledgeNotFound
from pointsman.knowledge.rows import Given
from pointsman.knowledge.storing_errors import StoreFailed


async def test_an_upload_is_pending_then_active_and_found_with_its_page_and_heading(scene: Scene) -> None:
    file = await scene.upload("Vacation is thirty days.\nThe office opens at nine.", metadata='{"team": "people"}')
    assert (file.status, file.knowledge_status, file.progress.step, file.size) == ("pending", None, "queued", 50)
    assert await scene.found("vacation") == []
    await scene.index()
    file = await scene.file(file)
    assert (file.status, file.knowledge_status, file.chunks, file.progress.step) == ("active", "indexed", 2, "indexed")
    [passage] = (await scene.search("How many days of vacation are there?")).items
    assert (passage.content, passage.page, passage.heading) == ("Vacation is thirty days.", 1, "notes.txt")
    assert (passage.file_id, passage.metadata) == (file.file_id, {"team": "people"})


async def test_the_same_content_again_changes_nothing_and_keeps_one_object(scene: Scene) -> None:
    first = await scene.upload("One line.")
    await scene.index()
    again = await scene.upload("One line.", metadata='{"seen": 2}')
    assert (again.file_id, again.metadata, again.knowledge_status) == (first.file_id, {"seen": 2}, "indexed")
    assert await scene.messages() == []
    await scene.owner.execute("UPDATE knowledge_leftovers SET due_at = clock_timestamp()")
    await scene.clearing.run_once()
    assert scene.kept() == await scene.referred()
    assert len(scene.kept()) == 1


async def test_new_content_makes_a_file_outdated_and_the_former_is_found_until_the_new_is_in(scene: Scene) -> None:
    file_id = a_uuid()
    await scene.upload("The old rule.", file_id=file_id)
    await scene.index()
    file = await scene.upload("The new law.", file_id=file_id)
    assert (file.status, file.knowledge_status) == ("active", "outdated")
    assert await scene.found("rule") == ["The old rule."]
    await scene.index()
    assert (await scene.found("rule"), await scene.found("law")) == ([], ["The new law."])
    await scene.clearing.run_once()
    assert scene.kept() == await scene.referred()


async def test_content_that_is_replaced_while_it_is_read_is_never_searchable(scene: Scene) -> None:
    file_id = a_uuid()

    async def replaced_meanwhile(*document: object) -> object:
        scene.read = read_lines
        await scene.upload("The second.", file_id=file_id)
        return await read_lines(*document)  # type: ignore[arg-type]

    scene.read = replaced_meanwhile
    file = await scene.upload("The first.", file_id=file_id)
    [message] = await scene.messages()
    await scene.handle(message)
    assert await scene.found("first") == []
    await scene.index()
    assert await scene.found("second") == ["The second."]
    assert (await scene.file(file)).knowledge_status == "indexed"


async def test_reindexing_keeps_what_is_indexed_searchable_and_two_wishes_are_one(scene: Scene) -> None:
    file = await scene.upload("A line.")
    await scene.index()
    for _ in range(2):
        file = await scene.service.reindex(OPERATOR, "acme", str(file.file_id))
    assert (file.status, file.knowledge_status, len(await scene.messages())) == ("active", "outdated", 1)
    assert await scene.found("line") == ["A line."]
    await scene.index()
    assert ((await scene.file(file)).knowledge_status, await scene.chunks(file)) == ("indexed", 1)


async def test_a_file_that_cannot_be_read_fails_with_the_reason_and_its_content_mended_is_indexed(scene: Scene) -> None:
    file_id = a_uuid()
    await scene.upload("", file_id=file_id)
    await scene.index()
    file = await scene.upload("", file_id=a_uuid())
    [failed] = (await scene.service.list_files(OPERATOR, "acme", collection_id=None, status="failed", limit=5, cursor=None)).items
    assert (failed.file_id, failed.knowledge_status, file.status) == (file_id, "failed", "pending")
    assert failed.failure is not None
    assert failed.failure["detail"] == "notes.txt is empty."
    mended = await scene.upload("Now a line.", file_id=file_id)
    assert (mended.status, mended.failure) == ("pending", None)
    await scene.index()
    assert await scene.found("line") == ["Now a line."]


async def test_a_store_that_is_away_is_tried_again_later_and_not_for_ever(scene: Scene) -> None:
    async def away(*_: object) -> object:
        raise StoreFailed("The bucket does not answer.")

    scene.read = away
    file = await scene.upload("A line.")
    [message] = await scene.messages()
    waits = [await scene.handle(message) for _ in range(5)]
    assert waits == [*(timedelta(seconds=2 * 2**number) for number in range(1, 5)), None]
    file = await scene.file(file)
    assert (file.status, file.failure and file.failure["code"]) == ("failed", "store-failed")
    assert await scene.handle(message) is None
    assert (await scene.file(file)).progress.attempts == 0


async def test_a_deleted_file_is_gone_with_chunks_and_object_and_its_row_stays(scene: Scene) -> None:
    file = await scene.upload("A line.")
    await scene.index()
    for _ in range(2):
        await scene.service.delete_file(OPERATOR, "acme", str(file.file_id))
    assert (scene.kept(), await scene.chunks(file), await scene.found("line")) == (set(), 0, [])
    gone = await scene.file(file)
    assert (gone.status, gone.knowledge_status, gone.gcs_path) == ("deleted", None, None)
    with pytest.raises(KnowledgeNotFound):
        await scene.service.reindex(OPERATOR, "acme", str(file.file_id))
    back = await scene.upload("A line.", file_id=file.file_id)
    assert (back.id, back.status) == (file.id, "pending")
    await scene.index()
    assert await scene.found("line") == ["A line."]


async def test_a_file_that_is_deleted_while_it_is_read_stays_deleted(scene: Scene) -> None:
    async def deleted_meanwhile(*document: object) -> object:
        await scene.service.delete_file(OPERATOR, "acme", str(file.file_id))
        return await read_lines(*document)  # type: ignore[arg-type]

    scene.read = deleted_meanwhile
    file = await scene.upload("A line.")
    await scene.index()
    assert ((await scene.file(file)).status, await scene.chunks(file), scene.kept()) == ("deleted", 0, set())


async def test_what_is_found_is_narrowed_by_collections_type_and_metadata(scene: Scene) -> None:
    await scene.upload("line one", name="a", collection_id="x", metadata='{"lang": "en", "tags": ["a", "b"]}')
    await scene.upload("line two", name="b", collection_id="y", file_type="project")
    await scene.upload("line three", name="c")
    await scene.index()
    assert len(await scene.found("line")) == 3
    assert await scene.found("line", collection_ids=["x"]) == ["line one"]
    assert await scene.found("line", file_type="project") == ["line two"]
    assert await scene.found("line", filter={"tags": ["b"]}) == ["line one"]
    assert await scene.found("line", collection_ids=[]) == []
    assert await scene.found("line three", top_k=1) == ["line three"]
    assert await scene.found("line -two", file_type="project") == []


async def test_vectors_alone_are_refused_and_hybrid_says_that_it_was_text(scene: Scene) -> None:
    await scene.upload("line one")
    await scene.index()
    assert (await scene.search("one", mode="hybrid")).mode == "text"
    with pytest.raises(EmbedderMissing):
        await scene.search("one", mode="vector")


async def test_an_upload_that_took_longer_than_a_day_is_told_instead_of_referring_to_nothing(scene: Scene) -> None:
    kept = await scene.service.keep(pieces(b"A line."))
    await scene.owner.execute("UPDATE knowledge_leftovers SET due_at = clock_timestamp()")
    await scene.clearing.run_once()
    with pytest.raises(Unavailable):
        await scene.service.store(OPERATOR, "acme", Given("a.txt"), kept)
    assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_entries") == 0
