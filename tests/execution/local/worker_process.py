"""A worker as a process of its own: it opens a sandbox, starts a stubborn tree in it, says so, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pointsman.execution.ports import SandboxSpec
from pointsman.execution.runners.local.runner import LocalRunner

STUBBORN = """
import os, signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        while True:
            time.sleep(1)
print('ready', flush=True)
while True:
    time.sleep(1)
"""


async def main(root: Path, isolation: str, handle: str) -> None:
    runner = LocalRunner(root, {"isolation": isolation})
    sandbox = await runner.open(SandboxSpec(handle=handle, memory_mb=128, cpus=1.0))
    await sandbox.exec(["python3", "-c", STUBBORN], on_output=lambda _stream, data: print(data.decode(), flush=True))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
