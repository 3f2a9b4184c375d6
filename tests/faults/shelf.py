"""Files of a fault program: uploaded, replaced and deleted until somebody says so, and what is judged of the rows and objects they left."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
from tests.faults.clients import BROKEN
from tests.faults.stage import Replica, Stage
from tests.faults.work import messages_left

from pointsman.kit.db import Connection, connect
from pointsman.knowledge.chunking import chunk
from pointsman.knowledge.pieces import Piece

End = Literal["indexed", "failed", "deleted"]
_FILES = "/v2/knowledge/-/files"
_STATUS = {"indexed": ("active", "indexed"), "failed": ("failed", "failed"), "deleted": ("deleted", None)}
_CLEARED_WITHIN = 30.0  # seconds; gateways look every five
_BOUNDARY = "faults-boundary"


@dataclass
class Filed:
    """A file that was accepted, and how it has to end; of one that is indexed, what its chunks must hold."""

    name: str
    content: bytes
    end: End
    file_id: str = ""


@dataclass
class Shelf:
    """All files of the program. `objects` is its gateways' and workers' store, `temporary` where they put what they need for a moment."""

    stage: Stage
    objects: Path
    temporary: Path
    files: list[Filed] = field(default_factory=list[Filed])
    broken: Counter[str] = field(default_factory=Counter[str])

    @staticmethod
    def on(stage: Stage) -> Shelf:
        """With folders of its own."""
        shelf = Shelf(stage, stage.folder / "objects", stage.folder / "temporary")
        shelf.temporary.mkdir(mode=0o700)
        return shelf

    @property
    def variables(self) -> dict[str, str]:
        """What its gateways and workers are told."""
        knowledge = {"STORE": self.objects.as_uri(), "EMBEDDER": "scripted:words"}
        return {"TMPDIR": str(self.temporary), **{f"POINTSMAN_KNOWLEDGE__{name}": value for name, value in knowledge.items()}}

    async def upload(self, end: End = "indexed", *, to: Replica | None = None) -> Filed:
        """A file of its own name and text, sent until somebody takes it; one that is to fail is of no kind that is read."""
        filed = self._new(end)
        await self._store(filed, to)
        return filed

    async def upload_slowly(self, to: Replica, seconds: float) -> None:
        """A larger file, whose upload lasts so long; when that came to nothing, another one is sent at once."""
        filed = self._new("failed")
        filed.content += self.stage.chance.randbytes(12 * 2**20)
        body = _multipart(filed, pause=seconds / 12)
        headers = {**self._key, "content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
        with suppress(*BROKEN):
            await self.stage.http.post(to.url + _FILES, content=body, headers=headers)
        await self._store(filed, None)

    async def delete(self, filed: Filed, *, to: Replica | None = None) -> None:
        """Delete it, asked until somebody says that it is."""
        answer = await self._call("DELETE", f"{_FILES}/{filed.file_id}", to=to)
        while answer is None or answer.status_code == 503:
            await asyncio.sleep(0.1)
            answer = await self._call("DELETE", f"{_FILES}/{filed.file_id}")
        assert answer.status_code == 204, answer.text
        filed.end = "deleted"

    async def ended(self, within: float) -> bool:
        """Whether nothing waits to be indexed any more after so many seconds."""
        deadline = time.monotonic() + within
        connection = await connect(self.stage.dsn, role=None)
        try:
            while await connection.fetchval("SELECT EXISTS (SELECT FROM knowledge_details WHERE settled < wanted)"):
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(0.2)
        finally:
            await connection.close()
        return True

    async def judge(self) -> list[str]:
        """What is wrong with the files and with what they left, each as a sentence."""
        connection = await connect(self.stage.dsn, role=None)
        try:
            failures = await self._wrong(connection)
            left = await messages_left(connection)
            failures += [f"{left} messages are left in the queue"] if left else []
            return failures + await self._orphans(connection)
        finally:
            await connection.close()

    async def _wrong(self, connection: Connection) -> list[str]:
        rows = await connection.fetch(
            "SELECT e.id, e.original_filename, e.status, e.knowledge_status, d.chunks, d.failure FROM knowledge_entries e"
            " JOIN knowledge_details d ON d.entry_id = e.id"
        )
        found = Counter(row["original_filename"] for row in rows)
        by_name = {row["original_filename"]: row for row in rows}
        failures = [f"{name} was accepted once and is there {found[name]} times" for name in self._names() if found[name] != 1]
        failures += [f"{name} is there, and nobody was told so" for name in found.keys() - self._names()]
        for filed in self.files:
            if (row := by_name.get(filed.name)) is not None:
                if (row["status"], row["knowledge_status"]) != _STATUS[filed.end]:
                    said = f"{row['status']}, {row['knowledge_status']}, {row['failure']}"
                    failures.append(f"{filed.name} should have ended {filed.end}: {said}")
                failures += await self._miscounted(connection, filed, row["id"], row["chunks"])
        return failures

    def _names(self) -> set[str]:
        return {filed.name for filed in self.files}

    async def _miscounted(self, connection: Connection, filed: Filed, entry_id: uuid.UUID, counted: int) -> list[str]:
        """Not each chunk exactly once."""
        wanted = [made.content for made in chunk([Piece(filed.content.decode(), None, None)])] if filed.end == "indexed" else []
        # A chunk without its vector is half indexed.
        statement = """SELECT c.ordinal, c.content FROM knowledge_chunks c JOIN knowledge_vectors v USING (entry_id, ordinal)
                       WHERE c.entry_id = $1 ORDER BY c.ordinal"""
        rows = await connection.fetch(statement, entry_id)
        if (
            [row["ordinal"] for row in rows] == list(range(len(wanted)))
            and [row["content"] for row in rows] == wanted
            and counted == len(rows)
        ):
            return []
        return [f"{filed.name} ({filed.end}) has {len(rows)} chunks of {len(wanted)}, and says {counted}"]

    async def _orphans(self, connection: Connection) -> list[str]:
        """What is left of objects and their notes once all was cleared; uploads that came to nothing would be noted for a day."""
        await connection.execute("UPDATE knowledge_leftovers SET due_at = clock_timestamp()")
        deadline = time.monotonic() + _CLEARED_WITHIN
        while (noted := await connection.fetchval("SELECT count(*) FROM knowledge_leftovers")) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        rows = await connection.fetch("SELECT gcs_path FROM knowledge_entries WHERE gcs_path IS NOT NULL")
        referred = {row["gcs_path"].rpartition("/")[2] for row in rows}
        kept = {path.name for path in self.objects.rglob("*") if path.is_file()}
        strays = await connection.fetchval(
            "SELECT count(*) FROM knowledge_chunks c LEFT JOIN knowledge_entries e ON e.id = c.entry_id"
            " WHERE e.status IS DISTINCT FROM 'active'"
        )
        failures = [f"{noted} objects are still noted as nobody's"] if noted else []
        failures += [f"{strays} chunks are nobody's"] if strays else []
        failures += [f"the object {name} is nobody's" for name in sorted(kept - referred)]
        failures += [f"the object {name} is gone, and a file refers to it" for name in sorted(referred - kept)]
        return failures + [f"a temporary file is left: {path.name}" for path in sorted(self.temporary.iterdir())]

    def _new(self, end: End) -> Filed:
        number = len(self.files)
        name = f"note-{number}-{self.stage.chance.getrandbits(32):08x}"
        if end == "failed":
            filed = Filed(f"{name}.bin", self.stage.chance.randbytes(100), end)
        else:
            sentences = (f"Paragraph {place} of {name} says what no other does. " * 12 for place in range(12))
            filed = Filed(f"{name}.txt", "\n\n".join(sentence.strip() for sentence in sentences).encode(), end)
        self.files.append(filed)
        return filed

    async def _store(self, filed: Filed, to: Replica | None) -> None:
        """Sent again it is the same file, however often somebody took it without saying so."""
        files = {"file": (filed.name, filed.content)}
        answer = await self._call("POST", _FILES, to=to, files=files)
        while answer is None or answer.status_code == 503:
            await asyncio.sleep(0.1)
            answer = await self._call("POST", _FILES, files=files)
        assert answer.status_code == 202, answer.text
        filed.file_id = answer.json()["file_id"]

    @property
    def _key(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.stage.secrets['key admin']}"}

    async def _call(self, method: str, path: str, *, to: Replica | None = None, **more: Any) -> httpx.Response | None:
        """One request; None where the connection broke."""
        replica = to if to is not None and to.is_alive else self.stage.any_replica()
        try:
            return await self.stage.http.request(method, replica.url + path, headers=self._key, **more)
        except BROKEN as error:
            self.broken[type(error).__name__] += 1
            return None


async def _multipart(filed: Filed, *, pause: float) -> AsyncIterator[bytes]:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filed.name}"\r\n\r\n'
    yield head.encode()
    for start in range(0, len(filed.content), 2**20):
        yield filed.content[start : start + 2**20]
        await asyncio.sleep(pause)
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()
