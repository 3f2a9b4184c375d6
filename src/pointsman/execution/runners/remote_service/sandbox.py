"""A sandbox that another Pointsman holds: it is told regularly that its caller is there."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Exited, OnOutput, OutOfMemory
from pointsman.execution.runners.archives import inside
from pointsman.execution.runners.asked import require_command
from pointsman.execution.runners.remote_service.calling import RunnerApi, problem_of

_EVERY = 10.0
_ENDING = 2.0


class RemoteSandbox:
    """One sandbox of one attempt."""

    def __init__(self, api: RunnerApi, target: str, handle: str, opened: dict[str, Any]) -> None:
        self._api = api
        self._target = target
        self._handle = handle
        self._opened = opened
        self.renewing = asyncio.create_task(self._renew())

    @property
    def handle(self) -> str:
        return self._handle

    @property
    def container_id(self) -> str | None:
        return self._opened["container_id"]

    @property
    def host(self) -> str:
        return self._opened["host"]

    async def upload(self, archive: bytes) -> None:
        await self._api.call("PUT", "sandboxes", self._handle, "files", archive=archive, seconds=180)

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        query = [*(("path", inside(path)) for path in paths), ("most", str(most))]
        return await self._api.call("GET", "sandboxes", self._handle, "files", query=query, seconds=180)

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Exited:
        require_command(argv, env or {})
        name = secrets.token_hex(8)
        given = base64.b64encode(stdin).decode()
        body = {"id": name, "argv": list(argv), "cwd": inside(cwd), "env": dict(env or {}), "stdin": given}
        try:
            return await self._follow(body, on_output)
        except asyncio.CancelledError:
            # Leaving ends it as well, but says nothing of when.
            with suppress(TargetFailed):
                await self._api.call("DELETE", "sandboxes", self._handle, "commands", name, seconds=_ENDING)
            raise

    async def peak_memory_mb(self) -> int | None:
        return json.loads(await self._api.call("GET", "sandboxes", self._handle))["peak_memory_mb"]

    async def close(self) -> None:
        self.renewing.cancel()
        await self._api.call("DELETE", "sandboxes", self._handle, query=[("target", self._target)])

    async def _follow(self, body: dict[str, Any], on_output: OnOutput) -> Exited:
        async for told in self._api.follow("sandboxes", self._handle, "exec", body=body):
            if "stream" in told:
                on_output("stdout" if told["stream"] == "stdout" else "stderr", base64.b64decode(told["data"]))
            elif "exited" in told:
                return _exited(told["exited"])
            else:
                raise problem_of(told["problem"])
        raise TargetFailed("The gateway that holds the sandbox stopped before the command ended.", hint="Another attempt is made.")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            with suppress(TargetFailed):  # what it is about will meet it too
                await self._api.call("GET", "sandboxes", self._handle, seconds=_EVERY)


def _exited(told: dict[str, Any]) -> Exited:
    oom = OutOfMemory(told["oom"]["source"], told["oom"]["detail"]) if told["oom"] else None
    return Exited(told["exit_code"], told["signal"], told["duration_ms"], oom)
