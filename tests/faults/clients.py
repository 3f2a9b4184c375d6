"""Clients that write down what they are told: each call is one line of the record, whatever becomes of it."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import msgspec
from tests.e2e.calling import TERMINAL, EventReader
from tests.faults import departing
from tests.faults.record import Call, Record, Seen

if TYPE_CHECKING:
    from tests.faults.stage import Replica, Stage

# What may become of a connection whose other end dies or is slow; anything else is a mistake of the program.
BROKEN = (httpx.TransportError, ValueError)


class Client:
    """One caller with one key; every method returns the line it wrote, and none raises for what the gateway does."""

    def __init__(self, stage: Stage, name: str, key: str, secret: str) -> None:
        self.name = name
        self.key = key
        self._stage = stage
        self._http = stage.http
        self._record: Record = stage.record
        self._headers = {"authorization": f"Bearer {secret}"}

    async def chat(self, agent: str, message: str, *, replica: Replica | None = None, idempotency_key: str = "", **more: Any) -> Call:
        """A turn as JSON. `more`: fields of the record (`expected`, `faulty`, `session`) and of the body; see `_call`."""
        call, body = self._call("chat", f"/v2/agents/{agent}/chat", replica, message, idempotency_key, more)
        return await self._exchange(call, body)

    async def request(self, op: str, method: str, path: str, body: Any = None, *, replica: Replica | None = None, **fields: Any) -> Call:
        """Any other request; `op` names it in the record."""
        call = Call(client=self.name, key=self.key, op=op, began=time.time(), method=method, path=path, **fields)
        self._address(call, replica)
        return await self._exchange(call, body)

    async def stream(
        self,
        agent: str,
        message: str,
        *,
        replica: Replica | None = None,
        idempotency_key: str = "",
        leave_after: int | None = None,
        team: bool = False,
        **more: Any,
    ) -> Call:
        """A turn as a stream, read to its end, to its break, or until so many events were seen; with `team` it is a team that is asked."""
        path = f"/v2/teams/{agent}/runs" if team else f"/v2/agents/{agent}/chat"
        call, body = self._call("stream", path, replica, message, idempotency_key, more)
        return await self._listen(call, {**body, "stream": True}, leave_after)

    async def depart(self, agent: str, message: str, *, size: int, patience: float, streams: bool = False, **more: Any) -> Call:
        """A turn whose client leaves, rudely, after so many bytes of the answer or so many seconds, whichever is first."""
        call, body = self._call("left", f"/v2/agents/{agent}/chat", None, message, "", more)
        call.leaves = True
        request = self._request(call, {**body, "stream": True} if streams else body)
        try:
            got = await departing.read_some(request, size, patience)
        except OSError as error:
            call.error = type(error).__name__
        else:
            call.status, call.run_id = departing.begun(got)
        return self._written(call)

    async def follow(
        self, run_id: str, after: int | None = None, *, replica: Replica | None = None, op: str = "follow", message: str = "", **fields: Any
    ) -> Call:
        """A run's events above `after`, to their end; `op="replay"`: all of them from the beginning, in full."""
        path = f"/v2/runs/{run_id}/events" + ("?stream_verbosity=full" if op == "replay" else "")
        call = Call(
            client=self.name, key=self.key, op=op, began=time.time(), method="GET", path=path, run_id=run_id, after=after, message=message
        )
        for name, value in fields.items():
            setattr(call, name, value)
        self._address(call, replica)
        return await self._listen(call, None, None)

    async def come_back(self, call: Call, *, replica: Replica | None = None) -> Call:
        """Resume a stream by the id that was seen last; `call` may be any earlier part of it that saw something."""
        after = call.events[-1].id if call.events else call.after
        return await self.follow(call.run_id, after, replica=replica, message=call.message, expected=call.expected)

    def _call(
        self, op: str, path: str, replica: Replica | None, message: str, idempotency_key: str, more: dict[str, Any]
    ) -> tuple[Call, dict[str, Any]]:
        """The line and the body: what the record has no field for belongs to the body."""
        session = more.pop("session", None) or f"session-{uuid4().hex[:12]}"
        fields = {name: more.pop(name) for name in list(more) if name in {"expected", "faulty", "leaves"}}
        call = Call(
            client=self.name,
            key=self.key,
            op=op,
            began=time.time(),
            path=path,
            message=message,
            session=session,
            idempotency_key=idempotency_key,
            **fields,
        )
        self._address(call, replica)
        return call, {"message": message, "session_id": session, **more}

    def _address(self, call: Call, replica: Replica | None) -> None:
        chosen = replica or self._stage.any_replica()
        call.replica = chosen.name

    def _request(self, call: Call, body: Any) -> httpx.Request:
        headers = dict(self._headers)
        if call.idempotency_key:
            headers["idempotency-key"] = call.idempotency_key
        if call.after:
            headers["last-event-id"] = str(call.after)
        url = self._stage.replica(call.replica).url + call.path
        return self._http.build_request(call.method, url, json=body, headers=headers)

    async def _exchange(self, call: Call, body: Any) -> Call:
        try:
            response = await self._http.send(self._request(call, body))
            _note(call, response)
            if response.is_success and response.content and call.op == "chat":
                _note_answer(call, response.json())
            if response.is_success and call.idempotency_key:
                call.digest = hashlib.sha256(response.content).hexdigest()
        except BROKEN as error:
            call.error = type(error).__name__
        return self._written(call)

    async def _listen(self, call: Call, body: Any, leave_after: int | None) -> Call:
        call.events = []
        try:
            response = await self._http.send(self._request(call, body), stream=True)
            try:
                await self._read(call, response, leave_after)
            finally:
                await response.aclose()
        except BROKEN as error:
            call.error = type(error).__name__
        return self._written(call)

    async def _read(self, call: Call, response: httpx.Response, leave_after: int | None) -> None:
        if not response.is_success:
            await response.aread()
            _note(call, response)
            return
        _note(call, response)
        reader = EventReader(response)
        call.run_id = call.run_id or reader.run_id
        if leave_after == 0:
            call.leaves = True
            return
        async for event in reader:
            call.events.append(Seen(event.id, event.name, event.raw.decode()))
            if event.name in TERMINAL:
                _note_answer(call, event.data)
            elif len(call.events) == leave_after:
                call.leaves = True
                return

    def _written(self, call: Call) -> Call:
        call.ended = time.time()
        self._record.write(call)
        return call


def _note(call: Call, response: httpx.Response) -> None:
    call.status = response.status_code
    call.retry_after = "retry-after" in response.headers
    call.hour = response.headers.get("ratelimit", "")
    call.is_problem = response.headers.get("content-type", "").startswith("application/problem+json")
    if not response.is_success:
        problem = msgspec.json.decode(response.content) if call.is_problem else {}
        call.code = problem.get("code", "")
    elif (location := response.headers.get("location", "")).startswith("/v2/runs/"):
        call.run_id = call.run_id or location.rsplit("/", 1)[-1]


def _note_answer(call: Call, answer: dict[str, Any]) -> None:
    call.run_id = answer.get("run_id", call.run_id)
    call.run_status = answer.get("status", "")
    call.text = answer.get("content")
    call.usage = answer.get("usage")
