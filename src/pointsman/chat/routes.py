"""The routes of turns: plain Starlette with msgspec, since every millisecond of it is paid by each turn."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pointsman.chat.bodies import Parser
from pointsman.chat.driving import RunFacts
from pointsman.chat.schemas import Accepted, ChatAnswer, ChatBody, ChatRequest, TeamAnswer, TeamRunBody, TeamRunRequest
from pointsman.chat.service import ChatService
from pointsman.chat.team_runs import Started, TeamRuns
from pointsman.kit import failpoints
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.runs.routes import require_room, run_stream
from pointsman.web.deps import caller, service
from pointsman.web.idempotency import attempt_of
from pointsman.web.openapi import LOCATION, Answer, DescribedRoute, Operation, Parameter
from pointsman.web.streams import EventStream

_ANSWERING = failpoints.declare("chat.answer", "A turn has ended, and its answer as JSON has not left yet.", ("before",))

_parse = Parser(ChatRequest, ChatBody)
_parse_team = Parser(TeamRunRequest, TeamRunBody)


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
    return _json(200, outcome.body, location)


async def _start(request: Request, chats: ChatService, body: ChatRequest) -> RunFacts:
    attempt = attempt_of(request.scope)
    if attempt is not None and (attempt.replay or attempt.taken_over):
        known = await chats.find_facts(attempt.run_id)
        if known is not None:
            return known
    agent_id: str = request.path_params["agent_id"]
    return await chats.start(caller(request), agent_id, body, run_id=attempt.run_id if attempt else None)


async def run_team(request: Request) -> Response | EventStream:
    """Ask a team."""
    body = _parse_team(await request.body())
    stream = body.stream or "text/event-stream" in request.headers.get("accept", "")
    wait = body.wait or _asked_to_wait(request)
    if stream:
        body = msgspec.structs.replace(body, stream=True)
        require_room(request)
    runs = service(request, TeamRuns)
    started = await _start_team(request, runs, body)
    location = f"/v2/runs/{started.run_id}"
    if stream:
        return run_stream(request, started.run_id, 0, body.stream_verbosity, location=location)
    if not wait and (body.background or started.kind == "supervised"):
        return _json(202, msgspec.json.encode(await runs.accepted(started)), location)
    outcome = await runs.wait(started)
    if outcome.problem is not None:
        outcome.problem.fields |= {"run_id": started.run_id, "session_id": started.session_id}
        raise outcome.problem
    return _json(200, outcome.body, location)


async def _start_team(request: Request, runs: TeamRuns, body: TeamRunRequest) -> Started:
    attempt = attempt_of(request.scope)
    if attempt is not None and (attempt.replay or attempt.taken_over):
        known = await runs.find(attempt.run_id)
        if known is not None:
            return known
    team_id: str = request.path_params["team_id"]
    return await runs.start(caller(request), team_id, body, run_id=attempt.run_id if attempt else None)


def _asked_to_wait(request: Request) -> bool:
    asked = request.query_params.get("wait", "false").lower()
    if asked not in {"true", "false"}:
        message = "wait is true or false."
        raise InvalidRequest(message, errors=(FieldError("/query/wait", message),))
    return asked == "true"


def _json(status: Literal[200, 202], body: bytes, location: str) -> Response:
    return Response(body, status, media_type="application/json", headers={"location": location})


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
    ),
    DescribedRoute(
        "POST",
        "/v2/teams/{team_id}/runs",
        run_team,
        Operation(
            id="run_team",
            summary="Ask a team.",
            tag="teams",
            body=TeamRunRequest,
            answers={
                200: Answer(
                    "The leader's answer, or with `stream: true` the run's events.",
                    TeamAnswer,
                    stream=True,
                    headers=LOCATION,
                ),
                202: Answer("The run has begun.", Accepted, headers=LOCATION),
            },
            parameters=(Parameter("wait", "query", "The same as `wait` in the body.", {"type": "boolean"}),),
            problems=(409, 502, 504),
            description=(
                "A coordinating team answers when its leader does, unless `background` is set; a supervising one at once, unless it is "
                "told to `wait`. The run belongs to the gateway: it is finished and counted also when the client leaves."
            ),
        ),
    ),
]
