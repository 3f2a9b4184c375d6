"""Approvals are met by chats: two replicas on one database, scripted agents, and keys that may decide."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.approvals.approval_scene import Office, opened_office
from tests.chat.conftest import Scene, caller, elsewhere, scene, second_replica
from tests.e2e.calling import Caller

__all__ = ["caller", "elsewhere", "scene", "second_replica"]


@pytest.fixture
async def office(scene: Scene, caller: Caller) -> AsyncGenerator[Office]:
    async with opened_office(scene, caller) as office:
        yield office
