"""One command in a pod over a websocket: what goes in, what comes out by its channel, and the Status that says how it ended."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any, cast

from pointsman.execution.ports import OnOutput
from pointsman.execution.runners.kubernetes import scripts
from pointsman.execution.runners.kubernetes.cluster import Cluster

_STDIN, _STDOUT, _STDERR, _ERROR = range(4)
_PIECE = 256 * 1024  # bytes of stdin in one frame


async def run_script(cluster: Cluster, pod: str, script: str, *, stdin: bytes = b"", on_output: OnOutput) -> int | None:
    """The exit code; None where the connection ended before one was told. Raises what `Cluster.handle_errors` turns into TargetFailed."""
    command, said = scripts.opening(script)
    code: int | None = None
    async with cluster.exec(pod, command) as socket:
        await _send(socket, said + stdin)
        async for channel, data in _frames(socket):
            if channel == _ERROR:
                code = exit_code(data)
            elif data and channel in {_STDOUT, _STDERR}:
                on_output("stdout" if channel == _STDOUT else "stderr", data)
    return code


async def _send(socket: Any, data: bytes) -> None:
    for start in range(0, len(data), _PIECE):
        await socket.send_bytes(bytes([_STDIN]) + data[start : start + _PIECE])


async def _frames(socket: Any) -> AsyncGenerator[tuple[int, bytes]]:
    async for message in socket:
        data = message.data.encode() if isinstance(message.data, str) else message.data
        if isinstance(data, bytes) and data:
            yield data[0], data[1:]


def exit_code(status: bytes) -> int | None:
    """What a Status on the error channel says; None where it is about something else than the command's own end."""
    try:
        read = cast("dict[str, Any]", json.loads(status))
    except ValueError:
        return None
    if read.get("status") == "Success":
        return 0
    details: dict[str, Any] = read.get("details") or {}
    causes: list[dict[str, Any]] = details.get("causes") or []
    told = next((one.get("message") for one in causes if one.get("reason") == "ExitCode"), None)
    return int(told) if told is not None and str(told).isdecimal() else None
