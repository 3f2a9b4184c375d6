"""A gateway that `pointsman up` starts, embedded database and all: it lives for a few requests, and what it leaves is to be searched."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.fakes.upstream import start_upstream
from tests.faults.places import PRIVATE
from tests.faults.processes import command_line, descendants, environment
from tests.faults.stage import Stage
from tests.faults.tempting import provider_variables

_LISTENING = re.compile(r"listening on (http://\S+)")


async def lived(stage: Stage, provider_secrets: dict[str, str]) -> dict[str, list[Path]]:
    """Start it with these secrets, talk to it, stop it; the places that it leaves. Its own secrets become the stage's."""
    folder = stage.folder / "alone"
    folder.mkdir()
    data, log = folder / "data", folder / "up.log"
    argv = [sys.executable, "-m", "pointsman", "up", "--data-dir", str(data), "--port", "0"]
    with start_upstream(ledger=False) as upstream:
        variables = provider_variables(provider_secrets, upstream.openai_url)
        with log.open("wb") as talk:
            process = subprocess.Popen(argv, env={**os.environ, **variables}, stdout=talk, stderr=talk)
        try:
            system = await _life(stage, process, data, log)
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 30)
    kept = [path for path in data.resolve().rglob("*") if path.is_file() and path.name not in PRIVATE]
    return {"the log of `pointsman up`": [log], "its processes": [system], "its data directory": kept}


async def _life(stage: Stage, process: subprocess.Popen[bytes], data: Path, log: Path) -> Path:
    """Until everything has been asked that is; what the system told of its processes meanwhile."""
    url = await asyncio.to_thread(_listening, process, log)
    key = stage.secrets["key admin of up"] = (data / "admin-key").read_text().strip()
    stage.secrets["key ring of up"] = (data / "keyring").read_text().split()[0]
    stage.secrets["database password of up"] = (data / "pg.password").read_text().strip()
    await _talk(stage, url, key)
    return _told_by_the_system(process.pid, data, log.parent)


async def _talk(stage: Stage, url: str, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    for model in ("echoing:m", "absent:m", "openai:gpt-4o"):
        name = model.partition(":")[0]
        body = {"id": name, "name": name, "template": "You help.", "config": {"model": model}}
        await stage.http.post(f"{url}/v2/agents", json=body, headers=headers)
        said = {"message": f"alone with {name} [[n=3 fault=401;message=no such key: {{key}}]]"}
        await stage.http.post(f"{url}/v2/agents/{name}/chat", json=said, headers=headers)


def _told_by_the_system(gateway: int, data: Path, folder: Path) -> Path:
    """Arguments of all its processes, and the environment of those that are not the gateway or its workers, who ask models as it does."""
    (pid_file,) = data.resolve().rglob("postmaster.pid")
    postmaster = int(pid_file.read_text().split("\n", 1)[0])
    others = {postmaster, *descendants(postmaster), *descendants(gateway)}
    path = folder / "processes"
    told = [command_line(gateway)]
    for pid in sorted(others):
        line = command_line(pid)
        told.append(line if b"worker" in line.split(b"\0") else line + environment(pid))
    path.write_bytes(b"\n".join(told))
    return path


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while (said := _LISTENING.search(log.read_text())) is None:
        assert process.poll() is None, f"`pointsman up` ended: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, "`pointsman up` does not listen"
        time.sleep(0.05)
    return said[1]
