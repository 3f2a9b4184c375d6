"""Files of knowledge, and what is found in them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypedDict

from pointsman.client.streaming import Event, parse
from pointsman.client.transport import Transport, raise_problem

OWN = "-"
_SILENT = 120.0  # seconds in which an upload may stand still
_LOOK = 0.3
_IDLE = 45.0  # seconds; three of the gateway's comments missed


class Progress(TypedDict):
    """How far a file is."""

    step: str
    attempts: int
    revision: int


class TenantFiles(TypedDict):
    """How many files a tenant has, and how many of them failed or are outdated."""

    tenant_id: str
    files: int
    failed: int
    outdated: int


class File(TypedDict):
    """A file, and how it is indexed."""

    id: str
    tenant_id: str
    collection_id: str | None
    file_id: str
    original_filename: str
    file_type: str
    content_type: str | None
    gcs_path: str | None
    status: str
    knowledge_status: str | None
    metadata: dict[str, Any]
    created_at: str
    updated_at: str
    size: int
    sha256: str
    chunks: int
    indexed_at: str | None
    progress: Progress
    failure: dict[str, Any] | None


class Passage(TypedDict):
    """A passage that was found, with where it stands."""

    file_id: str
    original_filename: str
    collection_id: str | None
    ordinal: int
    page: int | None
    heading: str | None
    content: str
    score: float
    metadata: dict[str, Any]


Passages = list[Passage]


class Found(TypedDict):
    """Passages, best first; `mode` is what was searched by, `notice` why that is less than was asked for."""

    items: list[Passage]
    mode: str
    reranked: bool
    notice: str | None


class Knowledge:
    """`/v2/knowledge/{tenant_id}`; the tenant is the key's own unless one is named."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def tenants(self, *, most: int | None = None) -> Iterator[TenantFiles]:
        """Tenants that have files, as far as the key sees them, by name."""
        return self._transport.pages("v2", "knowledge", query={}, most=most)

    def upload(
        self, name: str, file: BinaryIO, *, collection: str | None = None, tenant: str = OWN, fields: Mapping[str, str] | None = None
    ) -> File:
        """Send a file, whose other `fields` are `file_type`, `metadata` (JSON) and `file_id`; it is indexed afterwards, see `wait`."""
        path = ("v2", "knowledge", tenant, *([collection] if collection else []), "files")
        return self._transport.upload(*path, name=name, file=file, fields=fields or {}, idle=_SILENT)

    def list(
        self, *, collection: str | None = None, status: str | None = None, tenant: str = OWN, most: int | None = None
    ) -> Iterator[File]:
        """Newest first."""
        query = {"collection_id": collection, "status": status}
        return self._transport.pages("v2", "knowledge", tenant, "files", query=query, most=most)

    def read(self, file_id: str, *, tenant: str = OWN) -> File:
        """One of them."""
        return self._transport.call("GET", "v2", "knowledge", tenant, "files", file_id)

    def wait(self, file_id: str, *, tenant: str = OWN) -> Iterator[File]:
        """The file each time that its progress is another, until it is indexed, failed or deleted."""
        seen = -1
        while True:
            file = self.read(file_id, tenant=tenant)
            if file["progress"]["revision"] != seen:
                seen = file["progress"]["revision"]
                yield file
            if file["progress"]["step"] in {"indexed", "failed", "deleted"}:
                return
            time.sleep(_LOOK)

    def events(self, file_id: str, *, tenant: str = OWN, after: int = 0) -> Iterator[Event]:
        """Each state above `after` as the gateway tells it, to `indexed`, `failed` or `deleted`; an event's data is the file.

        Raises ProblemResponse, and GatewayUnreachable where the connection breaks: go on with `after`, the id of the last one.
        """
        path = ("v2", "knowledge", tenant, "files", file_id, "events")
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        with self._transport.explained(), self._transport.stream("GET", *path, headers=headers, idle=_IDLE) as response:
            if not response.is_success:
                response.read()
            raise_problem(response)
            yield from parse(response.iter_lines())

    def reindex(self, file_id: str, *, tenant: str = OWN) -> File:
        """Have it indexed anew; until that is done it is found as it was."""
        return self._transport.call("POST", "v2", "knowledge", tenant, "files", file_id, "reindex")

    def reindex_all(self, which: str = "outdated", *, collection: str | None = None, tenant: str = OWN) -> int:
        """Have all files indexed anew that are outdated, that failed, or all; how many."""
        body: dict[str, Any] = {"which": which} | ({"collection_id": collection} if collection else {})
        files = 0
        while True:
            done: dict[str, Any] = self._transport.call("POST", "v2", "knowledge", tenant, "reindex", body=body)
            files += done["files"]
            if done["next"] is None:
                return files
            body["after"] = done["next"]

    def delete(self, file_id: str, *, tenant: str = OWN) -> None:
        """Delete it with its text and content."""
        self._transport.call("DELETE", "v2", "knowledge", tenant, "files", file_id)

    def search(self, body: Mapping[str, Any], *, tenant: str = OWN) -> Passages:
        """Passages, best first."""
        return self.find(body, tenant=tenant)["items"]

    def find(self, body: Mapping[str, Any], *, tenant: str = OWN) -> Found:
        """Passages, best first, and how they were found."""
        return self._transport.call("POST", "v2", "knowledge", tenant, "search", body=body)
