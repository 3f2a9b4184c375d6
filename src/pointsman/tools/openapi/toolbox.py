"""The tools that agents' references to OpenAPI registrations name, each call one request through the checked way out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from pointsman.approvals.hashing import canonical
from pointsman.credentials.using import RunUser
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress, EgressFailed, EgressTimeout
from pointsman.kit.json_schema import JsonSchema
from pointsman.kit.problems import FieldError
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.tools.openapi import queries
from pointsman.tools.openapi.answers import KEPT, tell
from pointsman.tools.openapi.errors import OpenApiToolsMissing, OpenApiToolsUnknown
from pointsman.tools.openapi.filling import ArgumentRefusedError, Request, build_request
from pointsman.tools.openapi.rows import OpenApiTools, Operation
from pointsman.tools.openapi.suggesting import closest
from pointsman.tools.references import References
from pointsman.tools.sources import SourceTool
from pointsman.turns.ports import ToolOutcome

TYPE = "openapi"
_CONSIDERED = 1000  # registrations among which a suggestion is sought, or that are listed
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_IDEMPOTENT = _SAFE | {"PUT", "DELETE"}


class OpenApiSource:
    """See `tools.sources.ToolSource`."""

    def __init__(self, db: Database, egress: Egress, references: References) -> None:
        self._db = db
        self._egress = egress
        self._references = references

    async def open(self, references: Sequence[dict[str, Any]], user: RunUser) -> OpenApiToolbox:
        """The tools that the references name. Raises OpenApiToolsMissing where one is gone."""
        async with self._db.connection() as connection:
            found = await queries.find_all(connection, [reference["name"] for reference in references])
        tools = [pair for reference in references for pair in _chosen(found.get(reference["name"]), reference)]
        return OpenApiToolbox(tools, self._egress, self._references, user)

    async def require(self, connection: Connection, references: Mapping[str, dict[str, Any]]) -> None:
        """What the references name, by their pointers, is there and stays until the transaction ends. Raises OpenApiToolsUnknown."""
        held = await queries.hold_operations(connection, [reference["name"] for reference in references.values()])
        errors: list[FieldError] = []
        for pointer, reference in references.items():
            if (known := held.get(reference["name"])) is None:
                near = closest(reference["name"], await queries.list_ids(connection, _CONSIDERED))
                errors.append(FieldError(f"{pointer}/name", f"There are no active OpenAPI tools {reference['name']}.{near}"))
                continue
            for index, operation in enumerate(reference.get("operations") or ()):
                if operation not in known:
                    message = f"{reference['name']} has no operation {operation[:200]}.{closest(operation, known)}"
                    errors.append(FieldError(f"{pointer}/operations/{index}", message))
        if errors:
            raise OpenApiToolsUnknown(errors[0].message, hint="GET /v2/openapi-tools lists them.", errors=tuple(errors))

    async def list_tools(self) -> list[SourceTool]:
        """Those of every active registration, by its id."""
        async with self._db.connection() as connection:
            found = await queries.list_page(connection, include_inactive=False, after=None, limit=_CONSIDERED)
        return [
            SourceTool(TYPE, tools.id, operation.operation, ToolSpec(operation.tool, operation.description, operation.schema))
            for tools in found
            for operation in tools.compiled.operations
        ]


def _chosen(registration: OpenApiTools | None, reference: dict[str, Any]) -> list[tuple[OpenApiTools, Operation]]:
    name = reference["name"]
    if registration is None:
        raise OpenApiToolsMissing(f"The OpenAPI tools {name} do not exist any more.", hint="GET /v2/openapi-tools lists those there are.")
    operations = {operation.operation: operation for operation in registration.compiled.operations}
    wanted = reference.get("operations") or list(operations)
    if missing := [operation for operation in wanted if operation not in operations]:
        raise OpenApiToolsMissing(
            f"The OpenAPI tools {name} have no operation {missing[0]} any more.", hint=f"GET /v2/openapi-tools/{name} lists them."
        )
    return [(registration, operations[operation]) for operation in wanted]


class OpenApiToolbox:
    """The tools of one turn."""

    def __init__(self, tools: Sequence[tuple[OpenApiTools, Operation]], egress: Egress, references: References, user: RunUser) -> None:
        self._tools = {operation.tool: (registration, operation) for registration, operation in tools}
        self._egress = egress
        self._references = references
        self._user = user

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        return tuple(ToolSpec(tool, operation.description, operation.schema) for tool, (_, operation) in self._tools.items())

    def may_repeat(self, name: str) -> bool:
        """Whether HTTP says of the operation's method that asking twice is as good as once."""
        return name in self._tools and self._tools[name][1].method in _IDEMPOTENT

    async def call(self, call: ToolCall) -> ToolOutcome:
        """Ask the API. A call that is made again after a crash has the same `Idempotency-Key`, which is as much as can be done from here.

        Raises what `References.fill` raises, and EgressRefused.
        """
        registration, operation = self._tools[call.name]
        try:
            args = msgspec.json.decode(call.args or "{}", type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ToolOutcome("The arguments are not a JSON object.", is_error=True)
        if errors := JsonSchema(operation.schema).errors(args):
            wrong = "; ".join(f"{error.pointer or '/'}: {error.message}" for error in errors)
            return ToolOutcome(f"The arguments do not fit: {wrong}.", is_error=True)
        try:
            request = build_request(registration.compiled.server_url, operation, args)
        except ArgumentRefusedError as error:
            return ToolOutcome(str(error), is_error=True)
        if operation.method not in _SAFE:
            request.headers["Idempotency-Key"] = self._key(call, args)
        return await self._ask(registration, request, call.name)

    async def _ask(self, registration: OpenApiTools, request: Request, tool: str) -> ToolOutcome:
        filled = await self._references.fill(registration.headers, self._user, tool)
        own = {name.lower() for name in filled}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in own} | filled
        try:
            answer = await self._egress.request(
                request.method,
                request.url,
                headers=headers,
                body=request.body,
                timeout=timedelta(seconds=registration.timeout_seconds),
                keep=KEPT,
            )
        except (EgressFailed, EgressTimeout) as problem:
            unknown = "" if request.method in _SAFE else " Whether the call took effect is not known."
            return ToolOutcome(f"{problem.detail}{unknown}", is_error=True)
        return tell(answer, filled.scrub)

    def _key(self, call: ToolCall, args: dict[str, Any]) -> str:
        """The same for the same call of a run. The arguments are in it, since some providers number their calls anew in each answer."""
        said = "\0".join((self._user.tenant_id, self._user.run_id, call.id, call.name, canonical(args)))
        return f"pm-{hashlib.sha256(said.encode('utf-8', 'replace')).hexdigest()[:40]}"
