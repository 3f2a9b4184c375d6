"""The chat route: plain Starlette with msgspec, since every millisecond of it is paid by each turn."""

from __future__ import annotations

import msgspec
import pydantic
from starlette.requests import Request
from starlette.responses import Response

from pointsman.chat.driving import RunFacts
from pointsman.chat.schemas import ChatAnswer, ChatBody, ChatRequest
from pointsman.chat.service import ChatService
from pointsman.kit import failpoints
from pointsman.runs.routes import require_room, run_stream
from pointsman.web.deps import caller, service
from pointsman.web.idempotency import attempt_of
from pointsman.web.openapi import LOCATION, Answer, DescribedRoute, Operation
from pointsman.web.streams import EventStream
from pointsman.web.validation import invalid_request

_ANSWERING = failpoints.declare("chat.answer", "A turn has ended, and its answer as JSON has not left yet.", ("before",))

_decode = msgspec.json.Decoder(ChatRequest).decode


async def chat(request: Request) -> Response | EventStream:
    """Take one turn with an agent."""
    body = _parse(await request.body())
    stream = body.stream or "text/event-stream" in request.headers.get("accept", "")
    if stream and not body.stream:
        body = msgspec.structs.replace(body, stream=True)
    if stream:
        require_room(request)
    chats = service(request, ChatService)
    facts = await _start(request, chats, body)
    location = f"/v2/runs/{facts.id}"
    if stream:
        return run_stream(request, facts.id, 0, body.stream_verbosity, location=location)
    outcome = await chats.wait(facts.id)
    await _ANSWERING.reach("before")
    if outcome.problem is not None:
        outcome.problem.fields |= {"run_id": facts.id, "session_id": facts.session_id}
        raise outcome.problem
    return Response(outcome.body, media_type="application/json", headers={"location": location})


async def _start(request: Request, chats: ChatService, body: ChatRequest) -> RunFacts:
    attempt = attempt_of(request.scope)
    if attempt is not None and (attempt.replay or attempt.taken_over):
        known = await chats.find_facts(attempt.run_id)
        if known is not None:
            return known
    agent_id: str = request.path_params["agent_id"]
    return await chats.start(caller(request), agent_id, body, run_id=attempt.run_id if attempt else None)


def _parse(raw: bytes) -> ChatRequest:
    try:
        return _decode(raw)
    except msgspec.MsgspecError:
        return _explained(raw)


def _explained(raw: bytes) -> ChatRequest:
    """What msgspec refused, its twin explains field by field."""
    try:
        ChatBody.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise invalid_request(error.errors(include_url=False, include_input=False), ChatBody) from None
    return _decode(raw)


routes = [
    DescribedRoute(
        "POST",
        "/v2/agents/{agent_id}/chat",
        chat,
        Operation(
            id="chat",
            summary="Take one turn with an agent.",
            tag="chat",
            body=ChatRequest,
            answers={200: Answer("The answer, or with `stream: true` the run's events.", ChatAnswer, stream=True, headers=LOCATION)},
            problems=(502, 504),
            description="The run belongs to the gateway: it is finished and counted also when the client leaves. `Location` names it.",
        ),
    )
]
