from __future__ import annotations

import time
from pathlib import Path

import pytest

from pointsman.bootstrap.skills import make_scripts
from pointsman.execution.defaults import make_defaults
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings
from pointsman.skills.errors import SkillScriptRefused
from pointsman.skills.folders import File


async def test_what_a_dead_gateway_left_is_removed_and_what_is_in_use_stays(db: Database, settings: Settings) -> None:
    await make_defaults(db)
    left, used, job = (
        settings.data_dir / "sandboxes" / name
        for name in (
            f"pm-skill-{int(time.time()) - 5}-0123456789abcdef",
            f"pm-skill-{int(time.time()) + 60}-0123456789abcdef",
            "pm-00000000-0000-0000-0000-000000000000-1",
        )
    )
    for folder in (left, used, job):
        folder.mkdir(parents=True)
    scripts = make_scripts(db, settings)
    try:
        assert await scripts.tidy_once() == 1
    finally:
        await scripts.aclose()
    assert [folder.exists() for folder in (left, used, job)] == [False, True, True]


async def test_nothing_is_run_on_a_target_that_keeps_nothing_apart(
    db: Database, settings: Settings, owner: Connection, tmp_path: Path
) -> None:
    await make_defaults(db)
    await owner.execute("UPDATE execution_targets SET connection_config = '{\"isolation\": \"none\"}' WHERE id = 'local'")
    scripts = make_scripts(db, settings)
    proof = tmp_path / "ran"
    with pytest.raises(SkillScriptRefused, match="keeps nothing apart"):
        await scripts.run([File("scripts/a.sh", 0o755, b"")], ["touch", str(proof)], b"")
    await scripts.aclose()
    assert not proof.exists()
