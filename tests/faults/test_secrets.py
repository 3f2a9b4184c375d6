"""The search at the end of each fault program is worth something only if it finds what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.options import Options
from tests.faults.places import found_in, open_to_others
from tests.faults.record import Call
from tests.faults.stage import Stage, opened

SECRET = "planted-7hYn5Jc1Vf6pQ2"
# What is in these places anyway; no request of ours could plant anything there.
KNOWN = {
    "metrics": "pointsman_tasks",
    "command line": "listen_addresses",
    "environment": "LC_ALL=C",
    "log of the database": "ready to accept",
}


async def plant(stage: Stage) -> None:
    """The secret, wherever a mistake could bring one."""
    stage.record.write(Call(client="c", op="chat", began=0.0, message=SECRET))
    headers = {"authorization": f"Bearer {stage.secrets['key admin']}", "x-request-id": SECRET}
    answer = await stage.http.get(f"{stage.replicas[0].url}/v2/whoami", headers=headers)
    assert answer.headers["x-request-id"] == SECRET
    with stage.replicas[0].process.log.open("a") as log:
        log.write(f"key={SECRET}\n")
    (stage.folder / "data" / "left-behind").write_text(SECRET)
    agent = await stage.agent(model="scripted:echo")
    await stage.ask("POST", "/v2/memories", {"agent_id": agent, "user_id": "u", "content": f"{SECRET} {'and more ' * 100}"})
    (stage.folder / "of-the-program").write_text(SECRET)
    stage.places["a place of the program's own"] = [stage.folder / "of-the-program"]


async def test_a_planted_secret_is_found_in_each_place(tmp_path: Path) -> None:
    async with opened(Options("planted", 1, 1, 60.0, tmp_path, sample=True), replicas=1) as stage:
        (stage.folder / "data").mkdir(exist_ok=True)
        await plant(stage)
        stage.secrets = {"planted": SECRET, **KNOWN}
        rows = await found_in(stage)
    searched = [row["searched"] for row in rows if "searched" in row]
    found = {row["in"].rpartition(": ")[0] for row in rows if "found" in row}
    assert len(searched) == 11
    assert found == set(searched)
    assert SECRET not in str(rows)


async def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    async with opened(Options("clean", 1, 1, 60.0, tmp_path, sample=True), replicas=1) as stage:
        rows = await found_in(stage)
    assert [row for row in rows if "found" in row] == []


@pytest.mark.parametrize(("name", "mode", "told"), [("admin-key", 0o600, False), ("admin-key", 0o640, True), ("notes", 0o644, False)])
def test_a_private_file_that_others_may_read_is_told(tmp_path: Path, name: str, mode: int, *, told: bool) -> None:
    (tmp_path / name).touch(mode)
    (tmp_path / name).chmod(mode)
    assert open_to_others(tmp_path) == ([tmp_path / name] if told else [])
