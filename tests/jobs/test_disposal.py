"""How jobs go: out of date in small batches, or with their user or tenant; what lives is never touched."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.jobs.job_scene import OPERATOR, Scene, principal
from tests.retention.retention_scene import Sweeping

from pointsman.erasure.erasing import erase_batch
from pointsman.erasure.errors import DataInUse
from pointsman.erasure.service import ErasureService
from pointsman.jobs import disposal
from pointsman.jobs.rows import Claimed

TABLES = ("execution_jobs", "job_details", "job_attempts", "job_events", "job_workspaces")


async def ended(scene: Scene, count: int = 1, **fields: Any) -> list[Claimed]:
    attempts = [await scene.begin(job) for job in await scene.create(count, workspace=b"tar", **fields)]
    for attempt in attempts:
        await scene.end(attempt, left=b"tar")
    return attempts


async def counts(scene: Scene) -> dict[str, int]:
    return {table: await scene.owner.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_events_and_files_go_first_and_the_job_later(scene: Scene) -> None:
    await ended(scene, 3)
    await scene.begun()
    await scene.owner.execute("UPDATE execution_jobs SET completed_at = now() - interval '40 days' WHERE completed_at IS NOT NULL")
    async with scene.db.transaction() as connection:
        rows, place, more = await disposal.expire_events(connection, timedelta(days=30), None, 2)
        assert (rows, more) == (2 * 3 + 2 * 2, True)
        rows, place, more = await disposal.expire_events(connection, timedelta(days=30), place, 2)
        assert (rows, more) == (5, False)
        assert await disposal.expire_events(connection, timedelta(days=30), place, 2) == (0, place, False)
        assert await disposal.expire_jobs(connection, timedelta(days=60), 10) == 0
        assert await disposal.expire_jobs(connection, timedelta(days=35), 2) == 2
        assert await disposal.expire_jobs(connection, timedelta(days=35), 2) == 1
    assert await counts(scene) == {"execution_jobs": 1, "job_details": 1, "job_attempts": 1, "job_events": 2, "job_workspaces": 0}


async def test_a_tenant_leaves_with_its_jobs_and_what_was_learned_from_them(scene: Scene) -> None:
    await ended(scene, 2, tenant="acme")
    await scene.end(await scene.begun(tenant="acme", memory_mb=64), "ran_out", evidence="{}")
    await scene.owner.execute("UPDATE execution_jobs SET status = 'failed', completed_at = now() WHERE status = 'queued'")
    await ended(scene, tenant="other")
    service = ErasureService(scene.db)
    lines = [json.loads(line) async for chunk in service.export_tenant(OPERATOR, "acme") for line in chunk.splitlines()]
    assert lines[-1]["counts"]["job"] == 3
    await service.erase_tenant(OPERATOR, "acme", export_id=lines[-1]["export_id"], without_export=False)
    await Sweeping(scene.db, kinds={"erasures": erase_batch}).lap(scene.owner)
    assert await scene.owner.fetchval("SELECT count(*) FROM job_memory") == 0
    assert (await counts(scene))["execution_jobs"] == 1


async def test_a_user_leaves_with_the_jobs_made_for_them(scene: Scene) -> None:
    await ended(scene, 2, tenant="acme", user_id="ann")
    await ended(scene, tenant="acme", user_id="bob")
    service = ErasureService(scene.db)
    await service.erase_user(principal(owner="acme"), "ann", export_id=None, without_export=True)
    await Sweeping(scene.db, kinds={"erasures": erase_batch}).lap(scene.owner)
    assert await scene.owner.fetchval("SELECT array_agg(user_id::text) FROM job_details") == ["bob"]


async def test_a_job_that_has_not_ended_is_waited_for(scene: Scene) -> None:
    job = await scene.one(tenant="acme")
    with pytest.raises(DataInUse) as refused:
        await ErasureService(scene.db).erase_tenant(OPERATOR, "acme", export_id=None, without_export=True)
    assert refused.value.fields["job_id"] == str(job)
