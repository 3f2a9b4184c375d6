"""Routes of users' tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from pointsman.credentials.schemas import INTEGRATION_KEY, TokenPut, TokenRead, TokenRevealed, TokenUseRead
from pointsman.credentials.service import TokenService
from pointsman.kit.ids import CHOSEN_ID
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["tokens"])

Tokens = Annotated[TokenService, Depends(provided(TokenService))]
UserId = Annotated[str, Path(pattern=CHOSEN_ID, max_length=255, description="A user of the caller's tenant.")]
IntegrationKey = Annotated[str, Path(pattern=INTEGRATION_KEY, description="What the token is called.")]


@router.get("/v2/users/{user_id}/tokens")
async def list_tokens(tokens: Tokens, caller: Caller, user_id: UserId, limit: Limit = 50, cursor: Cursor = None) -> Page[TokenRead]:
    """List a user's tokens, without their secrets."""
    return await tokens.list_tokens(caller, user_id, limit=limit, cursor=cursor)


@router.put("/v2/users/{user_id}/tokens/{integration_key}")
async def put_token(tokens: Tokens, caller: Caller, user_id: UserId, integration_key: IntegrationKey, body: TokenPut) -> TokenRead:
    """Store a token, in the place of one that is there."""
    return await tokens.put_token(caller, user_id, integration_key, body)


@router.get("/v2/users/{user_id}/tokens/{integration_key}")
async def read_token(tokens: Tokens, caller: Caller, user_id: UserId, integration_key: IntegrationKey) -> TokenRead:
    """Read a token, without its secret."""
    return await tokens.require_token(caller, user_id, integration_key)


@router.delete("/v2/users/{user_id}/tokens/{integration_key}", status_code=204)
async def delete_token(tokens: Tokens, caller: Caller, user_id: UserId, integration_key: IntegrationKey) -> None:
    """Have a token revoked where its provider offers that, and forget it; its ciphertext is gone."""
    await tokens.delete_token(caller, user_id, integration_key)


@router.post("/v2/users/{user_id}/tokens/{integration_key}/refresh", responses={502: {}, 503: {}})
async def refresh_token(tokens: Tokens, caller: Caller, user_id: UserId, integration_key: IntegrationKey) -> TokenRead:
    """Have the provider renew a token that has a refresh token, once however many ask at the same time."""
    return await tokens.refresh_token(caller, user_id, integration_key)


@router.post("/v2/users/{user_id}/tokens/{integration_key}/reveal", responses={502: {}, 503: {}})
async def reveal_token(tokens: Tokens, caller: Caller, user_id: UserId, integration_key: IntegrationKey) -> TokenRevealed:
    """Read a token with its secret, renewed if it is about to expire, which the log of changes remembers."""
    return await tokens.reveal_token(caller, user_id, integration_key)


@router.get("/v2/users/{user_id}/tokens/{integration_key}/uses")
async def list_token_uses(
    tokens: Tokens, caller: Caller, user_id: UserId, integration_key: IntegrationKey, limit: Limit = 50, cursor: Cursor = None
) -> Page[TokenUseRead]:
    """List which runs and tools used a token, newest first; also of one that was deleted since."""
    return await tokens.list_uses(caller, user_id, integration_key, limit=limit, cursor=cursor)
