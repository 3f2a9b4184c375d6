"""One gateway with every provider at a fake upstream, for the whole session; each test has agents and tenants of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cluster, run_aside
from tests.e2e.calling import Caller, unique
from tests.e2e.gateways import FAKE_KEYS, KEYRING, GatewayProcess, admin_key, serving_from_a_thread, start_gateway
from tests.fakes.upstream import Upstream, start_upstream

from pointsman.kit.db import Record, connect
from pointsman.settings import EgressSettings, KeyRingSettings, ProviderSettings, SkillSettings

REACHED = ("127.0.0.2",)  # stands for the internet


@dataclass(frozen=True)
class Scene:
    """What runs, and what it left in the database."""

    dsn: str
    url: str
    admin: str
    upstream: Upstream

    async def fetch(self, query: str, *values: object) -> list[Record]:
        connection = await connect(self.dsn, role=None)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def usage_of(self, run_id: str) -> list[dict[str, Any]]:
        """What was counted for a run, one a model call, in order, in the words of the upstream's ledger."""
        rows = await self.fetch(
            """
            SELECT prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, is_estimated
            FROM usage_details d JOIN token_usage t ON t.id = d.usage_id WHERE d.run_id = $1 ORDER BY d.call
            """,
            run_id,
        )
        return [dict(row) for row in rows]

    def asked(self, word: str) -> list[dict[str, Any]]:
        """What the upstream was asked in words that hold `word`, oldest first."""
        return [entry for entry in self.upstream.ledger() if word in entry["text"]]


@pytest.fixture(scope="session")
def scene(cluster: Cluster, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    folder = tmp_path_factory.mktemp("chat")
    with cluster.database(migrated_template) as dsn, start_upstream() as upstream:
        admin = run_aside(admin_key(dsn, folder))
        with serving_from_a_thread(dsn, _settings(folder, upstream)) as url:
            yield Scene(dsn, url, admin, upstream)


@pytest.fixture(scope="session")
def second_replica(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Generator[GatewayProcess]:
    """Another process on the same database, which may take up whatever goes on: it reaches what the first one does."""
    gateway = start_gateway(scene.dsn, tmp_path_factory.mktemp("second"), scene.upstream, POINTSMAN_EGRESS__ALLOW=json.dumps(REACHED))
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture(autouse=True)
def _fresh_ledger(scene: Scene) -> None:
    scene.upstream.reset()


@pytest.fixture
async def caller(scene: Scene) -> AsyncGenerator[Caller]:
    """An operator."""
    caller = Caller(scene.url, scene.admin)
    yield caller
    await caller.aclose()


@pytest.fixture
async def elsewhere(scene: Scene, second_replica: GatewayProcess) -> AsyncGenerator[Caller]:
    """The same operator at the second replica."""
    caller = Caller(second_replica.url, scene.admin)
    yield caller
    await caller.aclose()


@pytest.fixture
async def tenants(scene: Scene, caller: Caller) -> AsyncGenerator[tuple[Caller, Caller]]:
    """Two tenants that may do everything, each within its own walls."""
    made: list[Caller] = []
    for name in ("one", "two"):
        body = {"name": name, "owner_id": unique(name), "scopes": ["agents:run", "runs:read", "runs:write", *_TALK]}
        made.append(Caller(scene.url, (await caller.post("/v2/keys", body))["api_key"]))
    yield made[0], made[1]
    for tenant in made:
        await tenant.aclose()


_TALK = ["sessions:read", "sessions:write", "memories:read", "memories:write", "usage:read", "agents:read"]


def _settings(folder: Path, upstream: Upstream) -> dict[str, Any]:
    second = timedelta(seconds=1)
    return {
        "data_dir": folder / "data",
        "port": 0,
        "skills": SkillSettings(script_timeout=timedelta(seconds=4)),
        "keyring": KeyRingSettings.model_validate({"keys": [KEYRING]}),
        "egress": EgressSettings(allow=REACHED),
        "openai_base_url": upstream.openai_url,
        "openai_api_key": FAKE_KEYS["OPENAI_API_KEY"],
        "anthropic_base_url": upstream.anthropic_url,
        "anthropic_api_key": FAKE_KEYS["ANTHROPIC_API_KEY"],
        "google_base_url": upstream.google_url,
        "google_api_key": FAKE_KEYS["GOOGLE_API_KEY"],
        "providers": {
            "vllm": ProviderSettings(base_url=upstream.openai_url),
            "hasty": ProviderSettings(base_url=upstream.openai_url, first_byte=second, idle=second, total=3 * second),
            "dead": ProviderSettings(base_url="http://127.0.0.1:9/v1"),
            "nowhere": ProviderSettings(base_url="http://nowhere.invalid/v1"),
        },
    }
