"""The door: everything a request passes before a route sees it, in one place and in this order, cheapest first."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import TypeVar, cast

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from pointsman.access.authenticate import Authenticator
from pointsman.access.errors import RateLimited
from pointsman.access.limits import HourlyLimit, RateState
from pointsman.access.limits import headers as rate_headers
from pointsman.api import bodies, request_line
from pointsman.api.admission import Admission, Place
from pointsman.api.credentials import presented_key, principal_of, require_scope
from pointsman.api.exchange import Exchange, refuse_repeated
from pointsman.api.ports import Gateway
from pointsman.api.problems import BodyTooLarge, MethodNotAllowed, render, render_page, translate
from pointsman.api.routing import Endpoint, RouteTable
from pointsman.kit import failpoints
from pointsman.kit.principal import Principal
from pointsman.kit.problems import InternalProblem, Kind, NotFound, Problem
from pointsman.web.deps import PRINCIPAL, SERVICES
from pointsman.web.idempotency import ATTEMPT, Attempt, Idempotency, Identity, fingerprint, parse_key

BODY = "pointsman.body"
REQUEST_ID = "pointsman.request_id"
T = TypeVar("T")
_AROUND_A_FILE = 1_048_576  # what else an upload's body may hold: boundaries and small fields
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_ANSWERED = failpoints.declare("http.answer", "The answer to a request that may have changed something has been sent.", ("after",))

log = structlog.get_logger()


class Stopping(Problem):
    """The process is stopping and could not finish this request in the time it had. Another replica, or the next start, will.

    Send it again; with an `Idempotency-Key` nothing is done twice.
    """

    kind = Kind.UNAVAILABLE
    code = "stopping"
    title = "The gateway is stopping"


class Door:
    """The ASGI application of a process."""

    def __init__(self, gateway: Gateway, table: RouteTable) -> None:
        self._gateway = gateway
        self._table = table
        self._limits = gateway.settings.limits
        self._authenticator = _service(gateway, Authenticator)
        self._hourly = _service(gateway, HourlyLimit)
        self._idempotency = Idempotency(gateway.db, gateway.keyring)
        self._log = structlog.get_logger().bind()
        self._admission = Admission(gateway.settings.limits, gateway.metrics.shed)
        gateway.metrics.watch_tenant_pace(self._admission.tenant_pace)
        self._state = {SERVICES: gateway.services}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_protocol(scope, send)
            return
        exchange = Exchange(scope, send)
        # The server gives each request a task, and with it a context, of its own: there is nothing to unbind.
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        try:
            await self._answer(exchange, scope, receive)
        except bodies.ClientGone:
            # Nobody is there to be answered; it is told below without a status.
            pass
        except asyncio.CancelledError:
            # The server ends its requests when the time to drain is over; this is the last frame of the request's task.
            await self._fail(Stopping(retry_after=1), exchange, exchange.send)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it was, the caller gets an answer and the log the reason
            await self._fail(error, exchange, exchange.send)
        finally:
            self._tell(exchange, scope)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        raw_path = request_line.check(scope)
        refuse_repeated(scope["headers"])
        endpoint = self._find(exchange, scope, raw_path)
        limit = self._limits.chat_body_bytes if endpoint.policy.large_body else self._limits.body_bytes
        with self._admission.request(always=endpoint.policy.always) as place:
            streamed = endpoint.policy.streamed and bodies.is_multipart(exchange.headers)
            if streamed:
                limit = self._limits.upload_bytes + _AROUND_A_FILE
            bodies.refuse_declared(exchange.headers, limit)
            principal = None if endpoint.policy.public else await self._let_in(exchange, endpoint, place)
            if streamed:
                receive = bodies.bounded(receive, limit)
            elif scope["method"] in _WITH_BODY:
                body = await self._body(exchange, endpoint, receive, limit, place)
                scope[BODY] = body
                receive = bodies.given(body, receive)
            self._prepare(exchange, endpoint, scope, principal)
            await self._serve(exchange, endpoint, principal, scope, receive)
        if scope["method"] in _WITH_BODY:
            await _ANSWERED.reach("after")

    def _find(self, exchange: Exchange, scope: Scope, raw_path: bytes) -> Endpoint:
        found = self._table.find(raw_path)
        if found is None:
            raise NotFound("There is nothing at this path.", hint="GET /openapi.json lists every path.")
        method = scope["method"]
        endpoint = found.endpoints.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allowed = ", ".join(sorted(found.endpoints))
            exchange.extra.append((b"allow", allowed.encode()))
            raise MethodNotAllowed(f"This path takes {allowed}.")
        exchange.template = endpoint.template
        scope["path_params"] = dict(zip(endpoint.parameters, found.values, strict=True))
        return endpoint

    async def _let_in(self, exchange: Exchange, endpoint: Endpoint, place: Place) -> Principal:
        """Who calls. The request counts as soon as the key is known to be good and there is room for it, whatever is answered then."""
        key = await self._authenticator.authenticate(presented_key(exchange.headers))
        exchange.key_id = key.id
        await place.of(key.owner_id or "")
        try:
            state = await self._hourly.admit(key)
        except RateLimited as error:
            self._gateway.metrics.rate_limited()
            _announce(exchange, error.state)
            raise
        if state is not None:
            _announce(exchange, state)
        principal = principal_of(key, exchange.headers)
        exchange.tenant = principal.tenant
        require_scope(endpoint.policy, principal)
        return principal

    async def _body(self, exchange: Exchange, endpoint: Endpoint, receive: Receive, limit: int, place: Place) -> bytes:
        body = await bodies.read(receive, limit, place.hold)
        if endpoint.takes_json:
            await bodies.check_json(exchange.headers, body, required=endpoint.body_required, depth=self._limits.json_depth)
        return body

    def _prepare(self, exchange: Exchange, endpoint: Endpoint, scope: Scope, principal: Principal | None) -> None:
        scope["route"] = endpoint.route
        scope["endpoint"] = endpoint.route.endpoint
        scope["state"] = {**scope.get("state", {}), **self._state}
        scope[REQUEST_ID] = exchange.request_id
        scope[PRINCIPAL] = principal

    async def _serve(self, exchange: Exchange, endpoint: Endpoint, principal: Principal | None, scope: Scope, receive: Receive) -> None:
        header = exchange.headers.get(b"idempotency-key")
        if header is None or principal is None or endpoint.method != "POST" or not endpoint.policy.replayed:
            await self._run(exchange, endpoint, scope, receive, exchange.send)
            return

        async def run(attempt: Attempt, send: Send) -> None:
            scope[ATTEMPT] = attempt
            await self._run(exchange, endpoint, scope, receive, send)

        identity = Identity(principal.tenant_key, principal.key_id, endpoint.method, scope["path"], parse_key(header))
        await self._idempotency.serve(identity, fingerprint(scope["query_string"], scope[BODY]), run, exchange.send)

    async def _run(self, exchange: Exchange, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if endpoint.needs_exit_stack:
                async with AsyncExitStack() as stack:
                    scope["fastapi_middleware_astack"] = stack
                    await endpoint.app(scope, receive, send)
            else:
                await endpoint.app(scope, receive, send)
        except bodies.ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - the edge; answered here, so that an Idempotency-Key keeps or frees it
            await self._fail(error, exchange, send, endpoint)

    async def _fail(self, error: BaseException, exchange: Exchange, send: Send, endpoint: Endpoint | None = None) -> None:
        problem = translate(error, endpoint.body_model if endpoint else None) if isinstance(error, Exception) else None
        if problem is None or problem.kind is Kind.INTERNAL:
            log.error("http.defect", route=exchange.template, exc_info=error)
        elif not isinstance(error, (Problem, RequestValidationError, HTTPException)):
            log.warning("http.refused_by_database", route=exchange.template, code=problem.code, exc_info=error)
        if isinstance(problem, BodyTooLarge):
            self._gateway.metrics.shed("body")
        if exchange.started:
            # Too late for a status: the server breaks the connection of an answer that was not completed.
            return
        as_page = endpoint is not None and endpoint.shows_page and b"text/html" in exchange.headers.get(b"accept", b"")
        rendered = (render_page if as_page else render)(problem or InternalProblem(), exchange.request_id)
        await send({"type": "http.response.start", "status": rendered.status, "headers": rendered.headers})
        await send({"type": "http.response.body", "body": rendered.body})

    def _tell(self, exchange: Exchange, scope: Scope) -> None:
        self._gateway.metrics.http(exchange.template, scope["method"], exchange.status or 499, exchange.seconds)
        tell = self._log.debug if exchange.template in _SELDOM_NEWS and exchange.status < 400 else self._log.info
        tell(
            "http.answered",
            method=scope["method"],
            route=exchange.template,
            status=exchange.status,
            seconds=round(exchange.seconds, 6),
            bytes=exchange.size,
            key_id=exchange.key_id,
            tenant=exchange.tenant,
        )


_SELDOM_NEWS = frozenset({"/livez", "/readyz", "/metrics"})


def _announce(exchange: Exchange, state: RateState) -> None:
    exchange.extra.extend((name.lower().encode(), value.encode()) for name, value in rate_headers(state).items())


async def _refuse_protocol(scope: Scope, send: Send) -> None:
    message: Message = {"type": "websocket.close", "code": 1008} if scope["type"] == "websocket" else {"type": "lifespan.startup.failed"}
    with contextlib.suppress(RuntimeError):
        await send(message)


def _service(gateway: Gateway, kind: type[T]) -> T:
    return cast("T", gateway.services[kind])
