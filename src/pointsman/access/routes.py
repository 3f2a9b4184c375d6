"""The HTTP face of API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response, status
from pydantic import BeforeValidator

from pointsman.access.errors import KeyNotFound
from pointsman.access.schemas import KeyCreate, KeyIssued, KeyPatch, KeyRead, KeyRotate, KeyRotated, WhoAmI
from pointsman.access.service import KeyService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["keys"])

Keys = Annotated[KeyService, Depends(provided(KeyService))]


def key_number(text: str) -> int:
    """The number in a path; anything that cannot be one is the id of no key."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**31):
        raise KeyNotFound(text)
    return int(text)


KeyId = Annotated[int, BeforeValidator(key_number)]


@router.get("/v2/whoami")
async def who_am_i(caller: Caller, keys: Keys) -> WhoAmI:
    """The calling key, its scopes, and the tenant it works in."""
    return WhoAmI.calling(await keys.require_own(caller), caller)


@router.get("/v2/keys")
async def list_keys(
    caller: Caller,
    keys: Keys,
    owner_id: Annotated[str | None, Query(max_length=255, description="Only this tenant's; empty: operator keys.")] = None,
    is_active: Annotated[bool | None, Query(description="Only keys that are, or are not, revoked.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KeyRead]:
    """The keys that the caller can see, newest first."""
    return await keys.list_keys(caller, owner=owner_id, active=is_active, limit=limit, cursor=cursor)


@router.post("/v2/keys", status_code=status.HTTP_201_CREATED, responses={201: {"headers": LOCATION}})
async def create_key(caller: Caller, keys: Keys, body: KeyCreate, response: Response) -> KeyIssued:
    """Make a key; `api_key` is shown this once."""
    issued = KeyIssued.showing(*await keys.create(caller, body))
    response.headers["Location"] = f"/v2/keys/{issued.id}"
    return issued


@router.get("/v2/keys/{id}")
async def get_key(caller: Caller, keys: Keys, number: Annotated[KeyId, Path(alias="id")]) -> KeyRead:
    """One key, without its secret."""
    return KeyRead.of(await keys.require_key(caller, number))


@router.patch("/v2/keys/{id}")
async def update_key(caller: Caller, keys: Keys, number: Annotated[KeyId, Path(alias="id")], body: KeyPatch) -> KeyRead:
    """Change a key's name, scopes, limit or expiry, everywhere within a second."""
    return KeyRead.of(await keys.update(caller, number, body))


@router.delete("/v2/keys/{id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_key(caller: Caller, keys: Keys, number: Annotated[KeyId, Path(alias="id")]) -> None:
    """Revoke a key for good, everywhere within a second."""
    await keys.delete(caller, number)


@router.post("/v2/keys/{id}/rotate", status_code=status.HTTP_201_CREATED, responses={201: {"headers": LOCATION}})
async def rotate_key(
    caller: Caller, keys: Keys, number: Annotated[KeyId, Path(alias="id")], response: Response, body: KeyRotate | None = None
) -> KeyRotated:
    """Make a successor; the old key works until the overlap ends, and both share one hourly limit."""
    overlap = timedelta(seconds=(body or KeyRotate()).overlap_seconds)
    rotated = KeyRotated.following(*await keys.rotate(caller, number, overlap), number)
    response.headers["Location"] = f"/v2/keys/{rotated.id}"
    return rotated
