"""Search by meaning: vectors are written with their chunks, counted, outdated by another embedder, and missing them is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.fakes.upstream import Upstream, start_upstream
from tests.knowledge.knowledge_scene import OPERATOR, Scene, knowing, of

from pointsman.kit.db import Connection
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.errors import EmbedderMissing, KnowledgeNotFound, RerankerMissing
from pointsman.knowledge.library import Library
from pointsman.knowledge.outdating import Outdating
from pointsman.knowledge.reranking import Reranker
from pointsman.knowledge.schemas import ReindexBody
from pointsman.knowledge.searching import Asker
from pointsman.llm.embedding.embedder import Embedder
from pointsman.llm.errors import ModelUnavailable
from pointsman.llm.models import Models
from pointsman.migrations import HEAD, migrate
from pointsman.settings import ProviderSettings, Settings

MODEL = "vllm:bge-m3"
_USED = """
SELECT d.run_id, d.call, d.tenant_id, d.key_id, t.agent_id, t.user_id, t.model, t.prompt_tokens, t.completion_tokens, d.cost
  FROM token_usage t JOIN usage_details d ON d.usage_id = t.id ORDER BY t.id
"""


@pytest.fixture(scope="module")
def running_upstream() -> Generator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running_upstream: Upstream) -> Upstream:
    running_upstream.reset()
    return running_upstream


@pytest.fixture
async def meaning(scene: Scene, upstream: Upstream) -> AsyncGenerator[Scene]:
    """A scene whose embedder is a provider in a process of its own, to which a holiday is a vacation."""
    embedder = Embedder.of(asking(upstream, embedder=MODEL, embedder_batch=2))
    assert embedder is not None
    scene.embedding = Embedding(scene.db, embedder)
    yield scene
    await embedder.aclose()


def asking(upstream: Upstream, **knowledge: Any) -> Settings:
    limits: dict[str, Any] = {"first_byte": timedelta(seconds=0.5), "retries": 0, "api_key": SecretStr("key-of-vllm-0123456789")}
    return knowing(providers={"vllm": ProviderSettings(base_url=upstream.openai_url, **limits)}, **knowledge)


async def vectors(scene: Scene) -> int:
    return await scene.owner.fetchval("SELECT count(*) FROM knowledge_vectors")


async def used(owner: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in await owner.fetch(_USED)]


async def test_what_no_word_says_is_found_by_meaning_and_the_answer_says_how_it_was_found(meaning: Scene) -> None:
    file = await meaning.upload("Everybody has thirty days of vacation.\nThe office opens at nine.\nBikes are kept in the yard.")
    await meaning.index()
    assert (await vectors(meaning), (await meaning.file(file)).knowledge_status) == (3, "indexed")
    by_text = await meaning.search("holidays", mode="text")
    assert (by_text.items, by_text.mode) == ([], "text")
    for mode in ("hybrid", "vector"):
        found = await meaning.search("holidays", mode=mode)
        assert (found.mode, found.notice, found.items[0].content) == (mode, None, "Everybody has thirty days of vacation.")
    assert (await meaning.search("holidays", mode="vector")).items[0].score == pytest.approx(0.41, abs=0.1)
    found = await meaning.search("office", mode="hybrid")
    assert found.items[0].content == "The office opens at nine."
    assert found.items[0].score == pytest.approx(2 / 61, abs=1e-4)


async def test_every_call_is_counted_to_the_token_for_indexing_and_for_queries(meaning: Scene, upstream: Upstream) -> None:
    file = await meaning.upload("One.\nTwo.\nThree.")
    await meaning.index()
    for _ in range(2):  # the second is remembered
        await meaning.search("one")
    await Library(meaning.searcher, Asker("acme", 7, "helper", "ann", "ses_1")).search("three")
    rows = await used(meaning.owner)
    assert [row["prompt_tokens"] for row in rows] == [entry["usage"]["prompt_tokens"] for entry in upstream.ledger()]
    assert [(row["call"], row["key_id"], row["agent_id"], row["user_id"]) for row in rows] == [
        (0, 1, None, None), (1, 1, None, None), (0, 1, None, None), (0, 7, "helper", "ann")
    ]  # fmt: skip
    assert {(row["tenant_id"], row["model"], row["completion_tokens"]) for row in rows} == {("acme", MODEL, 0)}
    assert [row["run_id"] for row in rows[:2]] == [f"kno_{file.id.hex}_1"] * 2
    assert all(row["run_id"].startswith("kno_") for row in rows)


async def test_without_an_embedder_that_works_hybrid_is_text_and_says_why(meaning: Scene) -> None:
    await meaning.upload("Tea at four [[fault=503]].")
    await meaning.upload("Coffee at five.", name="b")
    messages = await meaning.messages()
    assert [await meaning.handle(message) for message in messages] == [timedelta(seconds=4), None]
    found = await meaning.search("coffee [[fault=503]]")
    assert (found.mode, [item.content for item in found.items]) == ("text", ["Coffee at five."])
    assert found.notice is not None
    assert "503" in found.notice
    with pytest.raises(ModelUnavailable):
        await meaning.search("coffee [[fault=503]]", mode="vector")
    [passage] = await Library(meaning.searcher, Asker("acme", 1)).search("coffee [[fault=500]]")
    assert passage.content == "Coffee at five."


async def test_an_embedder_that_stays_away_fails_the_file_with_its_reason(meaning: Scene, upstream: Upstream) -> None:
    file = await meaning.upload("Tea at four [[fault=429;retry_after=120;fail_times=5]].")
    [message] = await meaning.messages()
    waits = [await meaning.handle(message) for _ in range(5)]
    assert waits == [*[timedelta(seconds=120)] * 4, None]
    file = await meaning.file(file)
    assert (file.status, file.failure and file.failure["code"]) == ("failed", "model-rate-limited")
    assert (await vectors(meaning), await meaning.chunks(file)) == (0, 0)
    assert (await meaning.service.reindex_all(OPERATOR, "acme", ReindexBody(which="failed"))).files == 1
    await meaning.index()
    assert (await vectors(meaning), (await meaning.file(file)).knowledge_status) == (1, "indexed")
    assert len(upstream.ledger()) == 6


async def test_another_embedder_outdates_files_which_are_found_by_text_until_they_are_reindexed(scene: Scene) -> None:
    first = scene.with_embedder("scripted:words")
    file = await first.upload("Tea at four.")
    await first.upload("Milk at five.", tenant="other")
    await first.index()
    assert (await first.search("tea")).mode == "hybrid"
    second = scene.with_embedder("scripted:words", embedder_dimensions=64)
    assert await Outdating(second.db, second.embedding).run_once() == 2
    assert await Outdating(second.db, second.embedding).run_once() == 0
    assert ((await second.file(file)).status, (await second.file(file)).knowledge_status) == ("active", "outdated")
    assert await second.found("tea") == ["Tea at four."]
    assert await second.found("tea", mode="vector") == []
    assert await Outdating(first.db, first.embedding).run_once() == 2  # the former is configured again
    assert (await first.file(file)).knowledge_status == "indexed"
    await Outdating(second.db, second.embedding).run_once()
    for key, seen in ((of("acme"), [("acme", 1, 1)]), (OPERATOR, [("acme", 1, 1), ("other", 1, 1)])):
        page = await second.service.list_tenants(key, limit=5, cursor=None)
        assert [(tenant.tenant_id, tenant.files, tenant.outdated) for tenant in page.items] == seen
    done = await second.service.reindex_all(of("acme"), "-", ReindexBody())
    assert (done.files, done.next, len(await second.messages())) == (1, None, 1)
    assert (await second.service.reindex_all(of("acme"), "-", ReindexBody())).files == 0
    await second.index()
    assert ((await second.file(file)).knowledge_status, await second.found("tea", mode="vector")) == ("indexed", ["Tea at four."])
    assert await scene.owner.fetchval("SELECT vector_dims(embedding) FROM knowledge_vectors WHERE tenant_id = 'acme'") == 64


async def test_files_without_vectors_are_outdated_by_an_embedder_and_current_without_one(scene: Scene) -> None:
    file = await scene.upload("Tea at four.")
    await scene.index()
    assert await Outdating(scene.db, scene.embedding).run_once() == 0
    second = scene.with_embedder("scripted:words")
    assert (await second.service.reindex_all(OPERATOR, "acme", ReindexBody())).files == 1  # also before anybody has looked
    await second.index()
    assert (await vectors(scene), (await scene.file(file)).knowledge_status) == (1, "indexed")
    assert await Outdating(scene.db, scene.embedding).run_once() == 0
    await scene.service.delete_file(OPERATOR, "acme", str(file.file_id))
    assert await vectors(scene) == 0


async def test_reindexing_is_audited_and_keeps_to_its_tenant_and_collection(scene: Scene) -> None:
    for tenant, collection in (("acme", "x"), ("acme", "y"), ("other", "x")):
        await scene.upload("Tea.", tenant=tenant, collection_id=collection)
    await scene.index()
    with pytest.raises(KnowledgeNotFound):
        await scene.service.reindex_all(of("acme"), "other", ReindexBody(which="all"))
    assert (await scene.service.reindex_all(of("acme"), "acme", ReindexBody(which="all", collection_id="x"))).files == 1
    await scene.index()
    [file] = (await scene.service.list_files(OPERATOR, "acme", collection_id="y", status=None, limit=5, cursor=None)).items
    await scene.service.reindex(OPERATOR, "acme", str(file.file_id))
    rows = await scene.owner.fetch("SELECT tenant_id, object_id FROM audit_log WHERE action = 'knowledge.reindexed' ORDER BY id")
    assert [(row["tenant_id"], row["object_id"]) for row in rows] == [("acme", "acme"), ("acme", str(file.file_id))]


async def test_a_database_without_pgvector_indexes_and_searches_by_text_and_says_so(scene: Scene, dsn: str, tmp_path: Path) -> None:
    await scene.owner.execute("DROP EXTENSION vector CASCADE")
    await scene.owner.execute("DROP TABLE knowledge_vectors")
    second = scene.with_embedder("scripted:words")
    file = await second.upload("Tea at four.")
    await second.index()
    assert await Outdating(second.db, second.embedding).run_once() == 0
    assert (await second.file(file)).knowledge_status == "indexed"
    found = await second.search("tea")
    assert (found.mode, len(found.items), found.notice) == ("text", 1, "The database cannot keep vectors: it has no pgvector.")
    with pytest.raises(EmbedderMissing, match="pgvector"):
        await second.search("tea", mode="vector")
    named = {"POINTSMAN_DATABASE__URL": dsn, "POINTSMAN_DATA_DIR": str(tmp_path), "POINTSMAN_KNOWLEDGE__EMBEDDER": "scripted:words"}
    doctor = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pointsman", "doctor", "--port", "0", env={**os.environ, **named}, stdout=asyncio.subprocess.PIPE
    )
    assert b"this database has no pgvector" in (await doctor.communicate())[0]
    # It is installed later: the next migration makes what is missing.
    await scene.owner.execute("CREATE EXTENSION vector")
    assert (await migrate(dsn)).after == HEAD
    third = scene.with_embedder("scripted:words")
    assert (await third.service.reindex_all(OPERATOR, "acme", ReindexBody())).files == 1
    await third.index()
    assert (await third.search("tea")).mode == "hybrid"


async def test_an_exhausted_budget_makes_no_vectors_and_hybrid_says_that_it_was_text(meaning: Scene, upstream: Upstream) -> None:
    await meaning.upload("Tea at four.")
    await meaning.index()
    await budget(meaning.owner, "acme", amount=400)
    meaning.budgets.active.forget(None)
    async with reserving(meaning):
        before = len(upstream.ledger())
        assert (await meaning.search("tea")).mode == "hybrid"
        await meaning.owner.execute("UPDATE budget_counters SET amount = spent + 10")
        found = await meaning.search("another tea")
        assert (found.mode, len(found.items)) == ("text", 1)
        assert found.notice is not None
        assert "budget" in found.notice
        assert len(upstream.ledger()) == before + 1
    counters = await meaning.owner.fetchrow("SELECT spent, reserved FROM budget_counters")
    assert counters is not None
    assert (counters["spent"], counters["reserved"]) == (upstream.last()["usage"]["prompt_tokens"], 0)


async def budget(owner: Connection, tenant: str, *, amount: int) -> None:
    """So many tokens a day for a tenant."""
    number = await owner.fetchval(
        """
        INSERT INTO budgets (tenant_id, id, subject_type, subject_id, unit, period, by_operator, version)
        VALUES ('', 'b', 'tenant', $1, 'tokens', 'day', true, 1) RETURNING number
        """,
        tenant,
    )
    await owner.execute("INSERT INTO budget_counters VALUES ($1, $2, date_trunc('day', clock_timestamp(), 'UTC'))", number, amount)


@contextlib.asynccontextmanager
async def reserving(scene: Scene) -> AsyncGenerator[None]:
    """With the loop that writes reservations."""
    loop = asyncio.create_task(scene.budgets.run())
    yield
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop


async def test_a_model_orders_what_was_found_and_where_it_fails_the_order_stays(meaning: Scene, upstream: Upstream) -> None:
    await meaning.upload("tea one\ntea two\ntea three tea")
    await meaning.index()
    with pytest.raises(RerankerMissing):
        await meaning.search("tea", rerank=True)
    models = Models(asking(upstream))
    meaning.reranker = Reranker(models, "vllm:judge")
    asked = 'tea [[json={"order":[2,2,9,-1,1]}]]'
    plain = await meaning.search(asked)
    found = await meaning.search(asked, rerank=True, top_k=2)
    assert [item.content for item in found.items] == [plain.items[2].content, plain.items[1].content]
    assert (found.reranked, plain.reranked, found.notice) == (True, False, None)
    [row] = [row for row in await used(meaning.owner) if row["model"] == "vllm:judge"]
    assert row["prompt_tokens"] == upstream.last()["usage"]["prompt_tokens"]
    assert row["completion_tokens"] == upstream.last()["usage"]["completion_tokens"]
    for wrong in ("[[json={}]]", '[[json={"order":"best first"}]]', "[[fault=503]]"):
        found = await meaning.search(f"tea {wrong}", rerank=True)
        assert (found.reranked, len(found.items)) == (False, 3)
        assert found.notice is not None
        assert "Not reranked" in found.notice
    await models.aclose()
