"""What is fuzzed: a gateway process on a database of its own, with a fake provider behind it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.conftest import OPTIONS, cluster_home, run_aside
from tests.e2e.gateways import FAKE_KEYS, KEYRING, GatewayProcess, admin_key, start_gateway
from tests.fakes.upstream import start_upstream

from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.migrations import migrate

# Well above what one client asks at once; a turn that a generated script stretches must not cost a minute of the run.
_SETTINGS = {"POINTSMAN_LOG__LEVEL": "warning"}


@dataclass(frozen=True)
class Scene:
    """A running gateway, an operator's client that no generated request uses, and what must never be seen in an answer."""

    gateway: GatewayProcess
    root: httpx.Client
    root_key: str
    dsn: str

    @property
    def url(self) -> str:
        return self.gateway.url

    def secrets(self) -> list[str]:
        return [self.root_key, KEYRING, self.dsn, *FAKE_KEYS.values()]

    def defects(self) -> list[str]:
        """What the gateway logged as its own failure, or as a value that only the database refused."""
        lines = self.gateway.log.read_text(errors="replace").splitlines()
        return [line for line in lines if "http.defect" in line or "http.refused_by_database" in line or "Traceback" in line]


@contextmanager
def scene_of_its_own(folder: Path) -> Generator[Scene]:
    """Everything started here, and gone afterwards."""
    with cluster_home(folder) as home:
        server = EmbeddedPostgres(home / "cluster", extra_options=OPTIONS)
        dsn = server.start()
        try:
            run_aside(migrate(dsn))
            with scene_on(dsn, folder) as scene:
                yield scene
        finally:
            server.stop()


@contextmanager
def scene_on(dsn: str, folder: Path) -> Generator[Scene]:
    """The same on a database that is there."""
    root_key = run_aside(admin_key(dsn, folder))
    with start_upstream(ledger=False) as upstream:
        gateway = start_gateway(dsn, folder, upstream, **_SETTINGS)
        headers = {"Authorization": f"Bearer {root_key}"}
        try:
            with httpx.Client(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as root:
                yield Scene(gateway, root, root_key, dsn)
        finally:
            gateway.stop()
