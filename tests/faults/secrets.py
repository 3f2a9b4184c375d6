"""A mixed load with failures that tempt messages to quote secrets; then everything is searched for every secret used.

Beside what every fault program searches (see `places`) there are a backup, what the command line printed, and all that a gateway left which
`pointsman up` started with an embedded database of its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.gateways import KEYRING
from tests.faults import alone, tempting
from tests.faults.mixed import Load
from tests.faults.options import read_options
from tests.faults.places import open_to_others
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage

from pointsman.kit.embedded_pg import tool

COMMANDS = (
    "doctor",
    "agents list --json",
    "keys list --json",
    "runs list",
    "agents get nobody",
    "keys create --name made-by-cli --scope nonsense",
)


async def perform(stage: Stage) -> Told:
    """Tempt for the duration, and leave everything that was written where it will be searched."""
    seconds = 15.0 if stage.options.sample else stage.options.duration
    made = tempting.provider_secrets(stage.chance)
    stage.secrets |= made
    variables = {**tempting.provider_variables(made, stage.upstream.openai_url), "POINTSMAN_LOG__LEVEL": "debug"}
    await asyncio.gather(*(stage.start(**variables) for _ in range(2)))
    await stage.terminate(stage.replicas[0])
    load = Load(stage, [await stage.agent(tools=[{"type": "builtin", "name": "current_time"}]) for _ in range(2)], users=10)
    async with load.running():
        deadline = asyncio.get_running_loop().time() + seconds
        for tempt in TEMPTATIONS:
            await tempt(stage)
            stage.options.say(tempt.__name__.replace("_", " "))
        await asyncio.sleep(deadline - asyncio.get_running_loop().time())
    printed, backup, places = await asyncio.gather(
        asyncio.to_thread(_printed, stage, variables), asyncio.to_thread(_backed_up, stage), alone.lived(stage, made)
    )
    stage.places |= {"what the command line printed": [printed], "a backup": [backup], **places}
    figures: dict[str, object] = {"secrets searched for": len(stage.secrets), "actions of users": load.done.total()}
    failures = [f"{path.name} may be read by others than its owner" for path in open_to_others(stage.folder)]
    return Told(figures=figures, failures=[*failures, *load.unfinished])


async def database_dies(stage: Stage) -> None:
    await stage.kill_database(0.5)
    await asyncio.sleep(1)


TEMPTATIONS = (
    tempting.providers_quote,
    tempting.callers_send_theirs_anywhere,
    tempting.urls_hold_secrets,
    tempting.keys_come_and_go,
    tempting.starts_fail,
    database_dies,
)


def _printed(stage: Stage, variables: dict[str, str]) -> Path:
    """The output of commands, to both streams, in one file."""
    path = stage.folder / "printed"
    environment = _environment(stage) | variables
    environment |= {"POINTSMAN_URL": stage.alive()[0].url, "POINTSMAN_API_KEY": stage.secrets["key admin"]}
    with path.open("wb") as file:
        for command in COMMANDS:
            subprocess.run(_pointsman(*command.split()), env=environment, stdout=file, stderr=file, check=False, timeout=60)
    return path


def _backed_up(stage: Stage) -> Path:
    """A backup with its key ring, and what is in it as text."""
    folder = stage.folder / "backup"
    folder.mkdir()
    passphrase = stage.secrets["passphrase of the backup"] = tempting.made_up(stage.chance)
    secret = stage.folder / "passphrase"
    secret.write_text(passphrase)
    backup, text = folder / "all.dump", folder / "all.sql"
    command = _pointsman("db", "backup", str(backup), "--passphrase-file", str(secret))
    subprocess.run(command, env=_environment(stage), check=True, timeout=60)
    secret.unlink()
    restore = tool("pg_restore", stage.dsn).argv[0]
    subprocess.run([restore, f"--file={text}", str(backup)], check=True, timeout=60)
    return folder


def _pointsman(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pointsman", *arguments]


def _environment(stage: Stage) -> dict[str, str]:
    given = {
        "POINTSMAN_DATABASE__URL": stage.dsn,
        "POINTSMAN_KEYRING__KEYS": f'["{KEYRING}"]',
        "POINTSMAN_DATA_DIR": str(stage.folder / "data"),
    }
    return {**os.environ, **given}


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("secrets", "Failures that tempt messages to quote secrets.", count=1, duration=30, sample=1),
            perform,
            title="Secrets, searched for everywhere",
            required=("G1", "G5", "G12"),
            replicas=1,
        )
    )
