"""Processes that each do one thing with knowledge and die of it: a line DSN, DATA_DIR, FAILPOINT, VERB, ARGUMENT as JSON for each.

They are forked off one process that has loaded everything, which answers with the signal that each died of.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import obstore
from tests.knowledge.knowledge_scene import OPERATOR, Scene

from pointsman.kit import failpoints
from pointsman.kit.db import Database, connect
from pointsman.settings import DatabaseSettings, Settings


async def main(dsn: str, data_dir: str, failpoint: str, verb: str, argument: str) -> None:
    settings = Settings(data_dir=Path(data_dir), database=DatabaseSettings.model_validate({"url": dsn}))
    db, owner = await Database.connect(dsn, pool_size=2), await connect(dsn, role=None)
    scene = Scene.of(db, owner, settings)
    failpoints.arm([f"{failpoint}:kill"])
    match verb:
        case "upload":
            await scene.upload(argument)
        case "handle":
            await scene.handle(argument)
        case "embed":
            await scene.with_embedder("scripted:words").handle(argument)
        case "delete":
            await scene.service.delete_file(OPERATOR, "acme", argument)
        case _:
            await scene.clearing.run_once()
    raise SystemExit(f"{failpoint} was not passed")


def die(arguments: list[str]) -> int:
    """The signal that a child of this process died of, 0 if it lived."""
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # what it logs is no answer
        asyncio.run(main(*arguments))
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    assert obstore
    for line in sys.stdin:
        print(die(json.loads(line)), flush=True)
