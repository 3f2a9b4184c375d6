"""Files of knowledge: how fast a worker indexes text, and what a large upload costs the process that receives it in memory."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import re
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.gateways import start_gateway
from benchmarks.measuring import medians
from benchmarks.processes import ROOT, forget_peak, peak_kb, resident_kb
from benchmarks.results import OURS, Row, Values
from benchmarks.stage import Stage
from benchmarks.targets import Gateway
from benchmarks.workshop import Workshop, workshop
from pointsman.budgets.metering import Budgets
from pointsman.kit.egress import Egress
from pointsman.kit.notify import Listener
from pointsman.kit.principal import Principal
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.objects import Objects
from pointsman.knowledge.rows import Given
from pointsman.knowledge.searching import Searcher
from pointsman.knowledge.service import KnowledgeService
from pointsman.knowledge.sources import Sources
from pointsman.settings import Settings

_TEXT = 8_000_000  # letters, about 5,500 chunks
_UPLOAD_MB = 200
_MB = 2**20
_BOUNDARY = "bench-boundary"
_WORD = re.compile(r"[a-z]{2,14}")
_KEY = Principal(key_id=1, key_name="bench", owner_id=None, scopes=frozenset({"admin"}), tenant=None)


def indexing(stage: Stage) -> Row:
    """A text from the message in the queue to its chunks in the database: fetched, read in a sandbox, cut by tokens, written."""
    row = Row("knowledge-indexing", f"indexing a text of {_TEXT / 1e6:g} MB without embedding, one worker process")

    async def run() -> None:
        folder = stage.folder / row.name
        async with workshop(folder) as made:
            rounds = [await _index(made, folder, stage.options.seed + number) for number in range(stage.options.rounds + 1)]
            row.sides[OURS] = medians(rounds[1:])  # the first one loads the libraries

    asyncio.run(run())
    row.mark("chunks/s", "chunks_per_second", ">=", 2000)
    return row


async def _index(made: Workshop, folder: Path, seed: int) -> Values:
    settings, embedding = Settings(data_dir=folder), Embedding(made.db, None)
    searcher = Searcher(made.db, Budgets(made.db, Listener(""), 0), embedding)  # nothing is searched, hence nothing is heard or spent
    service = KnowledgeService(made.db, Objects.of(settings), Sources(settings, Egress()), searcher, embedding, most_bytes=10 * _TEXT)
    kept = await service.keep(_pieces(_prose(seed).encode()))
    (worker, database), began = made.cost(), time.monotonic()
    file = await service.store(_KEY, "bench", Given(f"{uuid.uuid4()}.txt"), kept)
    while file.progress.step not in {"indexed", "failed"}:
        await asyncio.sleep(0.02)
        file = await service.require_file(_KEY, "bench", str(file.file_id))
    seconds = time.monotonic() - began
    assert file.progress.step == "indexed", file.failure
    after = made.cost()
    return {
        "chunks_per_second": file.chunks / seconds,
        "chunks": file.chunks,
        "cpu_ms": (after[0] - worker) / file.chunks * 1000,
        "database_cpu_ms": (after[1] - database) / file.chunks * 1000,
    }


def _prose(seed: int) -> str:
    """Paragraphs of words that these documents have, as often as they have them: new ones each time."""
    words = [word for page in sorted((ROOT / "docs").rglob("*.md")) for word in _WORD.findall(page.read_text())]
    chance = random.Random(seed)
    letters = statistics.mean(map(len, words)) + 1
    paragraphs: list[str] = []
    for _ in range(int(_TEXT / letters / 80)):
        sentences = (" ".join(chance.choices(words, k=16)).capitalize() + "." for _ in range(5))
        paragraphs.append(" ".join(sentences))
    return "\n\n".join(paragraphs)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _MB):
        yield data[start : start + _MB]


def upload(stage: Stage) -> Row:
    """The highest that the process had resident while it received the file, over what it had before; a fresh process each round."""
    row = Row("upload-200mb", f"an upload of {_UPLOAD_MB} MB to a local object store, after a small one")
    row.sides[OURS] = medians([_upload_round(stage, number) for number in range(stage.options.rounds)])
    row.mark("growth of the process, MB", "grown_mb", "<", 32)
    row.notes.append("The small upload before it loads the library of object stores, once in a process; cold_mb is what that one adds.")
    return row


def _upload_round(stage: Stage, number: int) -> Values:
    with start_gateway(stage.upstream, stage.folder, stage.folder / f"upload-{number}", providers=["OPENAI"]) as gateway:
        gateway.settle()
        cold, _ = _grown(gateway, 1)
        time.sleep(1)
        grown, seconds = _grown(gateway, _UPLOAD_MB)
    return {"grown_mb": grown, "mb_per_second": _UPLOAD_MB / seconds, "cold_mb": cold}


def _grown(gateway: Gateway, megabytes: int) -> tuple[float, float]:
    """By how many MB the process grew at most while it received a file of so many, and in how many seconds."""
    (pid,) = gateway.pids
    before = resident_kb(pid)
    forget_peak(pid)
    began = time.monotonic()
    _send(gateway, megabytes)
    return (peak_kb(pid) - before) / 1024, time.monotonic() - began


def _send(gateway: Gateway, megabytes: int) -> None:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{megabytes}.bin"\r\n\r\n'.encode()
    tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
    piece = random.Random(megabytes).randbytes(_MB)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ports[0], timeout=120)
    connection.putrequest("POST", "/v2/knowledge/-/files")
    connection.putheader("Authorization", f"Bearer {gateway.admin_key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + megabytes * _MB + len(tail)))
    connection.endheaders(head)
    for _ in range(megabytes):
        connection.send(piece)
    connection.send(tail)
    with connection.getresponse() as answer:
        content = json.loads(answer.read())
    connection.close()
    assert (answer.status, content["size"]) == (202, megabytes * _MB), content
