"""The route of models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from pointsman.llm.models import Models
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Page
from pointsman.web.wire import Read

router = APIRouter(tags=["models"])


class ProviderRead(Read):
    """A model provider. `models` are examples, as `provider:model`; `missing` names the variable that would configure it."""

    provider: str
    api: str
    configured: bool
    built_in: bool
    models: list[str]
    missing: str | None


@router.get("/v2/models")
async def list_models(models: Annotated[Models, Depends(provided(Models))], caller: Caller) -> Page[ProviderRead]:
    """List the providers that this gateway knows, whether each is configured, and some of its models."""
    del caller
    return Page(items=[ProviderRead.model_validate(entry) for entry in models.catalogue()], next_cursor=None)
