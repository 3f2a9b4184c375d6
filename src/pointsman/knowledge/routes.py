"""Routes of knowledge; uploads and the stream of progress are plain Starlette."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from pointsman.kit.ids import CHOSEN_ID, is_chosen_id
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.knowledge.multipart import MultipartReader
from pointsman.knowledge.receiving import receive
from pointsman.knowledge.schemas import FileRead, Found, ReindexBody, Reindexing, SearchBody, Status, TenantRead, UriUpload, UriUploadBody
from pointsman.knowledge.service import KnowledgeService
from pointsman.runs.replay import Replay
from pointsman.runs.routes import require_room
from pointsman.settings import Settings
from pointsman.web.deps import Caller, caller, provided, service
from pointsman.web.openapi import LOCATION, Answer, DescribedRoute, Operation, Parameter
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.web.streams import LAST_SEQ, EventStream, Flag, resume_after
from pointsman.web.validation import invalid_request

router = APIRouter(tags=["knowledge"])

Knowledge = Annotated[KnowledgeService, Depends(provided(KnowledgeService))]
OfCollection = Annotated[str | None, Query(max_length=255, description="Only those of this collection.")]
OfStatus = Annotated[Status | None, Query(description="Unset: all but deleted ones.")]
_SEQ = {"type": "integer", "minimum": 0, "maximum": LAST_SEQ}
_TENANT = Parameter("tenant_id", "path", "`-` is the tenant that the key works in.", required=True)
_COLLECTION = Parameter("collection_id", "path", schema={"type": "string", "pattern": CHOSEN_ID}, required=True)


@router.get("/v2/knowledge")
async def list_tenants(knowledge: Knowledge, caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[TenantRead]:
    """List the tenants that have files, and how many: an operator sees all of them, a tenant's key its own."""
    return await knowledge.list_tenants(caller, limit=limit, cursor=cursor)


@router.get("/v2/knowledge/{tenant_id}/files")
async def list_files(
    tenant_id: str,
    knowledge: Knowledge,
    caller: Caller,
    collection_id: OfCollection = None,
    status: OfStatus = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[FileRead]:
    """List files, newest first."""
    return await knowledge.list_files(caller, tenant_id, collection_id=collection_id, status=status, limit=limit, cursor=cursor)


@router.get("/v2/knowledge/{tenant_id}/{collection_id}/files")
async def list_collection(
    tenant_id: str,
    collection_id: str,
    knowledge: Knowledge,
    caller: Caller,
    status: OfStatus = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[FileRead]:
    """List a collection's files, newest first."""
    wanted = _collection(collection_id)
    return await knowledge.list_files(caller, tenant_id, collection_id=wanted, status=status, limit=limit, cursor=cursor)


@router.get("/v2/knowledge/{tenant_id}/files/{file_id}")
async def read_file(tenant_id: str, file_id: str, knowledge: Knowledge, caller: Caller) -> FileRead:
    """Read a file's description and how it is indexed."""
    return await knowledge.require_file(caller, tenant_id, file_id)


@router.delete("/v2/knowledge/{tenant_id}/files/{file_id}", status_code=204)
async def delete_file(tenant_id: str, file_id: str, knowledge: Knowledge, caller: Caller) -> Response:
    """Delete a file: its text and its content are gone at once."""
    await knowledge.delete_file(caller, tenant_id, file_id)
    return Response(status_code=204)


@router.post("/v2/knowledge/{tenant_id}/files/{file_id}/reindex", status_code=202)
async def reindex_file(tenant_id: str, file_id: str, knowledge: Knowledge, caller: Caller) -> FileRead:
    """Have a file indexed anew; until that is done it is found as it was."""
    return await knowledge.reindex(caller, tenant_id, file_id)


@router.post("/v2/knowledge/{tenant_id}/reindex", status_code=202)
async def reindex_files(tenant_id: str, body: ReindexBody, knowledge: Knowledge, caller: Caller) -> Reindexing:
    """Have files indexed anew: those that a change of the embedder made outdated, those that failed, or all."""
    return await knowledge.reindex_all(caller, tenant_id, body)


@router.post("/v2/knowledge/{tenant_id}/search", responses={502: {}, 504: {}})
async def search_knowledge(tenant_id: str, body: SearchBody, knowledge: Knowledge, caller: Caller) -> Found:
    """Find passages, best first, with where they stand."""
    return await knowledge.search(caller, tenant_id, body)


async def upload_file(request: Request) -> Response:
    """Take a file in and have it indexed."""
    knowledge, principal = service(request, KnowledgeService), caller(request)
    tenant = knowledge.require_tenant(principal, request.path_params["tenant_id"])
    named = request.path_params.get("collection_id")
    collection = None if named is None else _collection(named)
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/form-data"):
        given, kept = await receive(MultipartReader(content_type, request.stream()), collection, knowledge.keep)
    else:
        given, kept = await knowledge.fetch(_by_uri(await request.body()), collection)
    file = await knowledge.store(principal, tenant, given, kept)
    headers = {"location": f"/v2/knowledge/{file.tenant_id}/files/{file.file_id}"}
    return Response(file.model_dump_json(), 202, headers, "application/json")


async def follow_file(request: Request) -> EventStream:
    """Tell how a file is indexed, until that has come to an end."""
    after = resume_after(request)
    require_room(request)
    knowledge, principal = service(request, KnowledgeService), caller(request)
    tenant, named = request.path_params["tenant_id"], request.path_params["file_id"]
    file = await knowledge.require_file(principal, tenant, named)
    frames = knowledge.follow(principal, tenant, file.file_id, after, service(request, Replay))
    heartbeat = timedelta(seconds=service(request, Settings).heartbeat_seconds)
    return EventStream(frames, draining=service(request, Flag), heartbeat=heartbeat)


def _collection(named: str) -> str:
    if not is_chosen_id(named):
        message = "A collection is 1 to 255 letters, digits, `_`, `.` or `-`, beginning with a letter or digit."
        raise InvalidRequest(message, errors=(FieldError("/path/collection_id", message),))
    return named


def _by_uri(raw: bytes) -> UriUploadBody:
    try:
        return UriUploadBody.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise invalid_request(error.errors(include_url=False, include_input=False), UriUploadBody) from None


_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "The file, with its name."},
        "file_type": {"type": "string", "enum": ["company", "project"], "default": "company"},
        "metadata": {"type": "string", "contentMediaType": "application/json", "description": "A JSON object."},
        "file_id": {"type": "string", "format": "uuid", "description": "Replaces the content of this file; unset: a new one is made."},
    },
}


def _upload(path: str, name: str, summary: str, *parameters: Parameter) -> DescribedRoute:
    operation = Operation(
        id=name,
        summary=summary,
        tag="knowledge",
        description="As multipart/form-data, which is streamed to the object store, or as JSON with a `uri`. Follow it with `…/events`.",
        answers={202: Answer("The file; it is indexed by a worker.", media="application/json", headers=LOCATION)},
        body=UriUpload,
        form=_FORM,
        parameters=(_TENANT, *parameters),
        problems=(502, 504),
    )
    return DescribedRoute("POST", path, upload_file, operation)


routes = [
    _upload("/v2/knowledge/{tenant_id}/files", "upload_file", "Take a file in and have it indexed."),
    _upload("/v2/knowledge/{tenant_id}/{collection_id}/files", "upload_to_collection", "Take a file into a collection.", _COLLECTION),
    DescribedRoute(
        "GET",
        "/v2/knowledge/{tenant_id}/files/{file_id}/events",
        follow_file,
        Operation(
            id="follow_file",
            summary="Tell how a file is indexed, until that has come to an end.",
            tag="knowledge",
            answers={200: Answer("`progress`, then `indexed`, `failed` or `deleted`, which ends the stream.", stream=True)},
            parameters=(
                Parameter("Last-Event-ID", "header", "Only states after this id.", _SEQ),
                Parameter("after", "query", "The same for clients that cannot set the header.", _SEQ),
            ),
        ),
    ),
]
