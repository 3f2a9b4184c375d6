"""A Sandbox without any isolation, on a folder of this machine: for tests of engines, which run only what the tests say."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Exited, OnOutput, OutOfMemory, Stream


@dataclass
class FolderSandbox:
    """Commands run as processes in `folder`; a command named in `out_of_memory` is said to have run out of memory."""

    folder: Path
    out_of_memory: set[str] = field(default_factory=set[str])
    ran: list[list[str]] = field(default_factory=list[list[str]])
    most: int | None = None
    closed: bool = False
    handle: str = "pm-job-1"
    container_id: str | None = None
    host: str = "here"

    async def upload(self, archive: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(self.folder, filter="data")

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for path in paths:
                if (self.folder / path).exists():
                    tar.add(self.folder / path, arcname=path)
        if len(data.getvalue()) > (self.most or most):
            raise TargetFailed("The workspace is too large.")
        return data.getvalue()

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Exited:
        self.ran.append(list(argv))
        began = time.monotonic()
        if argv[0] in self.out_of_memory:
            return Exited(None, "SIGKILL", 1, OutOfMemory("fake", "the test says so"))
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self.folder / cwd,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **(env or {})},
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            return Exited(127, None, 0)
        try:
            await self._follow(process, on_output, stdin)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        code = process.returncode or 0
        took = round((time.monotonic() - began) * 1000)
        return Exited(code, None, took) if code >= 0 else Exited(None, signal.Signals(-code).name, took)

    async def _follow(self, process: asyncio.subprocess.Process, on_output: OnOutput, stdin: bytes) -> None:
        assert process.stdout
        assert process.stderr
        if process.stdin is not None:
            with suppress(ConnectionError, RuntimeError):  # it may end without having read
                process.stdin.write(stdin)
                process.stdin.close()

        async def read(name: Stream, stream: asyncio.StreamReader) -> None:
            while data := await stream.read(65_536):
                on_output(name, data)

        await asyncio.gather(read("stdout", process.stdout), read("stderr", process.stderr))
        await process.wait()

    async def peak_memory_mb(self) -> int | None:
        return 7

    async def close(self) -> None:
        self.closed = True
        shutil.rmtree(self.folder, ignore_errors=True)
