"""Knowledge: how long a search of one tenant among twenty takes, over HTTP, by text and by text and vectors."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import time
from collections.abc import Sequence

from benchmarks.gateways import start_gateway
from benchmarks.results import OURS, Row, Values
from benchmarks.stage import Stage
from benchmarks.targets import Gateway
from benchmarks.workshop import percentile
from pointsman.kit.db import connect
from pointsman.kit.embedded_pg import find_dsn

_TENANTS, _FILES, _CHUNKS = 20, 20, 50
_DIMENSIONS = 1536
_WORDS_OF_A_CHUNK = 250
_VOCABULARY = 20_000
_EMBEDDER = "scripted:words"
_FILL = """
INSERT INTO knowledge_entries (tenant_id, file_id, original_filename, file_type, status, knowledge_status)
SELECT 't' || t, gen_random_uuid(), 'file-' || f || '.md', 'company', 'active', 'indexed'
  FROM generate_series(0, $1::int - 1) t, generate_series(1, $2::int) f
"""
_DETAILS = """
INSERT INTO knowledge_details (entry_id, tenant_id, sha256, size, settled, step, chunks, embedder)
SELECT id, tenant_id, 'x', 1, 1, 'indexed', $1, $2 FROM knowledge_entries
"""
_CHUNK = """
INSERT INTO knowledge_chunks (tenant_id, entry_id, ordinal, content, tokens)
SELECT tenant_id, id, n - 1, ($2::text[])[n], 400 FROM knowledge_entries, generate_series(1, cardinality($2::text[])) n WHERE id = $1
"""
_VECTORS = """
INSERT INTO knowledge_vectors (tenant_id, entry_id, ordinal, embedder, embedding)
SELECT tenant_id, entry_id, ordinal, $1, l2_normalize(ARRAY(
    SELECT random() - 0.5 + 0 * ordinal FROM generate_series(1, $2::int))::real[]::vector)::halfvec
  FROM knowledge_chunks
"""


def by_text(stage: Stage) -> Row:
    """Full text alone, as without an embedder."""
    row = _measured(stage, "knowledge-search-text", "text")
    row.mark("p50 ms", "p50_ms", "<=", 10)
    return row


def hybrid(stage: Stage) -> Row:
    """Full text and vectors, fused; the query's vector is made in the process."""
    row = _measured(stage, "knowledge-search-hybrid", "hybrid")
    row.mark("p50 ms", "p50_ms", "<=", 20)
    row.mark("p95 ms", "p95_ms", "<=", 40)
    return row


def _measured(stage: Stage, name: str, mode: str) -> Row:
    what = f"one search after the other of one tenant, {_TENANTS * _FILES * _CHUNKS:,} chunks of {_TENANTS} tenants, mode `{mode}`"
    row = Row(name, what)
    settings = {"POINTSMAN_KNOWLEDGE__EMBEDDER": _EMBEDDER, "POINTSMAN_KNOWLEDGE__EMBEDDER_DIMENSIONS": str(_DIMENSIONS)}
    with start_gateway(stage.upstream, stage.folder, stage.folder / name, settings=settings) as gateway:
        asyncio.run(_fill(gateway))
        count = max(100, stage.options.requests // 2)
        _search(gateway, mode, count // 5, seed=-1)
        rounds = [_search(gateway, mode, count, seed=number) for number in range(stage.options.rounds)]
    times = sorted(rounds, key=lambda one: percentile(one, 50))[len(rounds) // 2]
    row.sides[OURS] = _values(times)
    row.notes.append(f"Chunks of {_WORDS_OF_A_CHUNK} words, vectors of {_DIMENSIONS} dimensions; no query is asked twice.")
    return row


def _values(times: Sequence[float]) -> Values:
    return {"p50_ms": percentile(times, 50), "p95_ms": percentile(times, 95)}


def _search(gateway: Gateway, mode: str, count: int, *, seed: int) -> list[float]:
    """Milliseconds of each."""
    chance, times = random.Random(seed), list[float]()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ports[0], timeout=10)
    headers = {"Authorization": f"Bearer {gateway.admin_key}", "Content-Type": "application/json"}
    for _ in range(count):
        body = json.dumps({"query": " ".join(_words(chance, chance.randint(2, 4))), "mode": mode})
        began = time.perf_counter()
        connection.request("POST", f"/v2/knowledge/t{chance.randrange(_TENANTS)}/search", body, headers)
        answer = connection.getresponse()
        found = answer.read()
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, found
        assert json.loads(found)["mode"] == mode, found
    connection.close()
    return times


async def _fill(gateway: Gateway) -> None:
    chance = random.Random(7)
    dsn = find_dsn(gateway.directory)
    assert dsn is not None
    connection = await connect(dsn, role=None)
    try:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(_FILL, _TENANTS, _FILES)
        await connection.execute(_DETAILS, _CHUNKS, f"{_EMBEDDER}/{_DIMENSIONS}")
        for row in await connection.fetch("SELECT id FROM knowledge_entries"):
            await connection.execute(_CHUNK, row["id"], [" ".join(_words(chance, _WORDS_OF_A_CHUNK)) for _ in range(_CHUNKS)])
        await connection.execute(_VECTORS, f"{_EMBEDDER}/{_DIMENSIONS}", _DIMENSIONS)
        await connection.execute("VACUUM ANALYZE knowledge_entries, knowledge_chunks, knowledge_vectors")
    finally:
        await connection.close()


def _words(chance: random.Random, count: int) -> list[str]:
    """As in a language: few words are frequent, and most are rare."""
    return [f"w{int(_VOCABULARY ** chance.random())}x" for _ in range(count)]
