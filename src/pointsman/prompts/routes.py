"""Routes of prompts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from pointsman.kit.ids import CHOSEN_ID
from pointsman.prompts.errors import PromptVersionNotFound
from pointsman.prompts.schemas import (
    LabelPut,
    LabelRead,
    PromptCreate,
    PromptDiff,
    PromptPatch,
    PromptRead,
    PromptRender,
    PromptRollback,
    PromptText,
    PromptVersionRead,
)
from pointsman.prompts.service import PromptService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.web.wire import MAX_VERSION

Prompts = Annotated[PromptService, Depends(provided(PromptService))]
Tags = Annotated[
    tuple[str, ...], Query(alias="tag", max_length=20, description="Only with this tag; given several times, with all of them.")
]
Search = Annotated[str | None, Query(max_length=255, description="Text in the id, name or description, in any case.")]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]
QueryVersion = Annotated[int | None, Query(ge=1, le=MAX_VERSION)]
# Told by the document, judged by the service: what is no version is a version that does not exist.
PathVersion = Annotated[str, Path(json_schema_extra={"type": "integer", "minimum": 1, "maximum": MAX_VERSION})]
NewLabel = Annotated[str, Path(json_schema_extra={"pattern": CHOSEN_ID})]

router = APIRouter(tags=["prompts"])


@router.post("/v2/prompts", status_code=201, response_model=PromptRead, responses={201: {"headers": LOCATION}})
async def create_prompt(body: PromptCreate, prompts: Prompts, caller: Caller, response: Response) -> object:
    """Make a prompt; one that was deleted comes back as its next version."""
    prompt = await prompts.create_prompt(caller, body)
    response.headers["Location"] = f"/v2/prompts/{prompt.id}"
    return prompt


@router.get("/v2/prompts", response_model=Page[PromptRead])
async def list_prompts(
    prompts: Prompts, tags: Tags = (), q: Search = None, include_inactive: IncludeInactive = False, limit: Limit = 50, cursor: Cursor = None
) -> object:
    """List prompts by id."""
    return await prompts.list_prompts(tags=tags, q=q, include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/prompts/{prompt_id}", response_model=PromptRead)
async def get_prompt(prompt_id: str, prompts: Prompts) -> object:
    """Read a prompt at its newest version."""
    return await prompts.require_prompt(prompt_id)


@router.patch("/v2/prompts/{prompt_id}", response_model=PromptRead)
async def update_prompt(prompt_id: str, body: PromptPatch, prompts: Prompts, caller: Caller) -> object:
    """Change a prompt: a new version, or the same one if nothing changes."""
    return await prompts.update_prompt(caller, prompt_id, body)


@router.delete("/v2/prompts/{prompt_id}", status_code=204)
async def delete_prompt(prompt_id: str, prompts: Prompts, caller: Caller) -> None:
    """Delete a prompt; its versions are kept, and creating it again brings it back."""
    await prompts.delete_prompt(caller, prompt_id)


@router.get("/v2/prompts/{prompt_id}/versions", response_model=Page[PromptVersionRead])
async def list_prompt_versions(prompt_id: str, prompts: Prompts, limit: Limit = 50, cursor: Cursor = None) -> object:
    """List a prompt's versions, newest first."""
    return await prompts.list_versions(prompt_id, limit=limit, cursor=cursor)


@router.get("/v2/prompts/{prompt_id}/versions/{version}", response_model=PromptVersionRead)
async def get_prompt_version(prompt_id: str, version: PathVersion, prompts: Prompts) -> object:
    """Read one version."""
    return await prompts.require_version(prompt_id, _number(version))


@router.get("/v2/prompts/{prompt_id}/diff", response_model=PromptDiff)
async def diff_prompt(
    prompt_id: str,
    prompts: Prompts,
    from_version: Annotated[QueryVersion, Query(alias="from", description="The version before `to` if absent.")] = None,
    to_version: Annotated[QueryVersion, Query(alias="to", description="The newest version if absent.")] = None,
) -> object:
    """Compare two versions: the template as a unified diff, other fields whole."""
    return await prompts.diff_prompt(prompt_id, from_version, to_version)


@router.post("/v2/prompts/{prompt_id}/rollback", response_model=PromptRead)
async def rollback_prompt(prompt_id: str, body: PromptRollback, prompts: Prompts, caller: Caller) -> object:
    """Make a new version with the content of an old one."""
    return await prompts.rollback_prompt(caller, prompt_id, body.version)


@router.get("/v2/prompts/{prompt_id}/labels", response_model=Page[LabelRead])
async def list_prompt_labels(prompt_id: str, prompts: Prompts, limit: Limit = 50, cursor: Cursor = None) -> object:
    """List a prompt's labels by name."""
    return await prompts.list_labels(prompt_id, limit=limit, cursor=cursor)


@router.get("/v2/prompts/{prompt_id}/labels/{label}", response_model=LabelRead)
async def get_prompt_label(prompt_id: str, label: str, prompts: Prompts) -> object:
    """Read which version a label points at."""
    return await prompts.require_label(prompt_id, label)


@router.put("/v2/prompts/{prompt_id}/labels/{label}", response_model=LabelRead)
async def put_prompt_label(prompt_id: str, label: NewLabel, body: LabelPut, prompts: Prompts, caller: Caller) -> object:
    """Make a label, or move it to another version."""
    return await prompts.put_label(caller, prompt_id, label, body.version)


@router.delete("/v2/prompts/{prompt_id}/labels/{label}", status_code=204)
async def delete_prompt_label(prompt_id: str, label: str, prompts: Prompts, caller: Caller) -> None:
    """Delete a label."""
    await prompts.delete_label(caller, prompt_id, label)


@router.post("/v2/prompts/{prompt_id}/render", response_model=PromptText)
async def render_prompt(prompt_id: str, body: PromptRender, prompts: Prompts) -> object:
    """Fill a prompt's placeholders and say which variables were missing or unused."""
    return await prompts.render_prompt(prompt_id, body)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 0 < int(text) <= MAX_VERSION):
        raise PromptVersionNotFound(f"There is no version {text}.", hint="A version is a whole number from 1.")
    return int(text)
