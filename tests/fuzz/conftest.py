"""One gateway for the state machines; each example of theirs has tenants and ids of its own."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from tests.conftest import Cluster, run_aside
from tests.e2e.gateways import KEYRING, admin_key, serving_from_a_thread
from tests.fuzz.calls import Calls

# A failing assertion in them should tell its values too.
pytest.register_assert_rewrite("tests.fuzz.keys_machine", "tests.fuzz.prompts_machine", "tests.fuzz.sessions_machine")


@pytest.fixture(scope="session")
def calls(cluster: Cluster, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Calls]:
    folder = tmp_path_factory.mktemp("machines")
    settings: dict[str, Any] = {"data_dir": folder / "data", "keyring": {"keys": [KEYRING]}, "log": {"level": "warning"}}
    with cluster.database(migrated_template) as dsn:
        key = run_aside(admin_key(dsn, folder))
        with serving_from_a_thread(dsn, settings) as url:
            calls = Calls(url, key)
            try:
                yield calls
            finally:
                calls.close()
