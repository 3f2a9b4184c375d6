"""The exec subresource of the fake cluster: a process's streams as frames of `v4.channel.k8s.io` and `v5.channel.k8s.io`."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from aiohttp import WSMsgType, web
from tests.conformance.runners.kube_pods import Pod

_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_PIECE = 32 * 1024


async def serve(request: web.Request, pod: Pod, *, cut_after: int | None) -> web.WebSocketResponse:
    """Run the command of a request in a pod; the connection is reset after `cut_after` bytes of output where that is given."""
    process = await pod.exec(request.query.getall("command"))
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"), max_msg_size=0)
    await socket.prepare(request)
    feeding = asyncio.create_task(_feed(socket, process))
    left = cut_after

    async def pump(channel: int, stream: asyncio.StreamReader | None) -> None:
        nonlocal left
        assert stream is not None
        while data := await stream.read(_PIECE):
            if pod.is_lost:
                continue
            with suppress(ConnectionError):  # who asked is gone; the command is not told, as on a real node
                await socket.send_bytes(bytes([channel]) + data)
            left = None if left is None else left - len(data)
            if left is not None and left <= 0 and request.transport is not None:
                request.transport.abort()

    await asyncio.gather(pump(_STDOUT, process.stdout), pump(_STDERR, process.stderr))
    code = await process.wait()
    await pod.look_at_memory()
    while pod.is_lost and not socket.closed:
        await asyncio.sleep(0.1)
    with suppress(ConnectionError):
        await socket.send_bytes(bytes([_ERROR]) + json.dumps(_status(code if code >= 0 else 128 - code)).encode())
        await socket.close()
    feeding.cancel()
    return socket


async def _feed(socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):
        async for message in socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            if message.data[0] == _STDIN:
                process.stdin.write(message.data[1:])
                await process.stdin.drain()
            elif message.data == bytes([_CLOSE, _STDIN]):
                process.stdin.close()


def _status(code: int) -> dict[str, object]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    said = f"command terminated with non-zero exit code: exit status {code}"
    return {"metadata": {}, "status": "Failure", "message": said, "reason": "NonZeroExitCode", "details": {"causes": causes}}
