"""Routes of skills."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Path, Query, Response, UploadFile

from pointsman.kit.ids import ChosenId
from pointsman.skills.errors import SkillVersionNotFound
from pointsman.skills.schemas import (
    SkillCreate,
    SkillItem,
    SkillPatch,
    SkillRead,
    SkillRollback,
    SkillVersionItem,
    SkillVersionRead,
)
from pointsman.skills.service import Part, SkillService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.web.wire import MAX_VERSION

Skills = Annotated[SkillService, Depends(provided(SkillService))]
Tags = Annotated[
    tuple[str, ...], Query(alias="tag", max_length=20, description="Only with this tag; given several times, with all of them.")
]
Category = Annotated[str | None, Query(max_length=255, description="Only of this category.")]
Search = Annotated[str | None, Query(max_length=255, description="Text in the id, name or description, in any case.")]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]
# Told by the document, judged by the service: what is no version is a version that does not exist.
PathVersion = Annotated[str, Path(json_schema_extra={"type": "integer", "minimum": 1, "maximum": MAX_VERSION})]
QueryVersion = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="The newest version if absent.")]
Uploads = Annotated[
    list[UploadFile] | None,
    File(description="A zip of the skill's folder, or the files of the folder, each with its path as its file name."),
]
MoreUploads = Annotated[list[UploadFile] | None, File(description="The same.")]
NewId = Annotated[ChosenId | None, Query(alias="id", description="The skill's id; its name if absent.")]
Replace = Annotated[bool, Query(description="Whether a skill that is there gets a next version.")]

_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The skill's folder.", "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}

router = APIRouter(tags=["skills"])


@router.post("/v2/skills", status_code=201, response_model=SkillRead, responses={201: {"headers": LOCATION}})
async def create_skill(body: SkillCreate, skills: Skills, caller: Caller, response: Response) -> object:
    """Make a skill; one that was deleted comes back as its next version."""
    skill = await skills.create_skill(caller, body)
    response.headers["Location"] = f"/v2/skills/{skill.id}"
    return skill


@router.post("/v2/skills/import", status_code=201, response_model=SkillRead, responses={201: {"headers": LOCATION}})
async def import_skill(
    skills: Skills,
    caller: Caller,
    response: Response,
    file: Uploads = None,
    files: MoreUploads = None,
    skill_id: NewId = None,
    replace: Replace = False,
) -> object:
    """Make a skill of a zip or the files of a SKILL.md folder. Nothing in it is executed."""
    parts = [Part(upload.filename or "", await upload.read()) for upload in (*(file or ()), *(files or ()))]
    skill = await skills.import_skill(caller, parts, skill_id=skill_id, replace=replace)
    response.headers["Location"] = f"/v2/skills/{skill.id}"
    return skill


@router.get("/v2/skills", response_model=Page[SkillItem])
async def list_skills(
    skills: Skills,
    tags: Tags = (),
    category: Category = None,
    q: Search = None,
    include_inactive: IncludeInactive = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> object:
    """List skills by id, without their texts."""
    return await skills.list_skills(tags=tags, category=category, q=q, include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/skills/{skill_id}", response_model=SkillRead)
async def get_skill(skill_id: str, skills: Skills) -> object:
    """Read a skill at its newest version."""
    return await skills.require_skill(skill_id)


@router.patch("/v2/skills/{skill_id}", response_model=SkillRead)
async def update_skill(skill_id: str, body: SkillPatch, skills: Skills, caller: Caller) -> object:
    """Change a skill: a new version, or the same one if nothing changes."""
    return await skills.update_skill(caller, skill_id, body)


@router.delete("/v2/skills/{skill_id}", status_code=204)
async def delete_skill(skill_id: str, skills: Skills, caller: Caller) -> None:
    """Delete a skill; its versions are kept, and creating it again brings it back."""
    await skills.delete_skill(caller, skill_id)


@router.get("/v2/skills/{skill_id}/export", response_class=Response, responses=_ZIP)
async def export_skill(skill_id: str, skills: Skills, version: QueryVersion = None) -> Response:
    """Download a skill's folder as a zip that any reader of the format takes."""
    exported = await skills.export_skill(skill_id, version)
    plain = exported.filename if exported.filename.isascii() else "skill.zip"
    return Response(exported.data, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{plain}"'})


@router.get("/v2/skills/{skill_id}/versions", response_model=Page[SkillVersionItem])
async def list_skill_versions(skill_id: str, skills: Skills, limit: Limit = 50, cursor: Cursor = None) -> object:
    """List a skill's versions, newest first, without their texts."""
    return await skills.list_versions(skill_id, limit=limit, cursor=cursor)


@router.get("/v2/skills/{skill_id}/versions/{version}", response_model=SkillVersionRead)
async def get_skill_version(skill_id: str, version: PathVersion, skills: Skills) -> object:
    """Read one version."""
    return await skills.require_version(skill_id, _number(version))


@router.post("/v2/skills/{skill_id}/rollback", response_model=SkillRead)
async def rollback_skill(skill_id: str, body: SkillRollback, skills: Skills, caller: Caller) -> object:
    """Make a new version with the content of an old one."""
    return await skills.rollback_skill(caller, skill_id, body.version)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 0 < int(text) <= MAX_VERSION):
        raise SkillVersionNotFound(f"There is no version {text}.", hint="A version is a whole number from 1.")
    return int(text)
