"""OpenAPI tools on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from pointsman.kit.ids import ChosenId
from pointsman.kit.principal import Principal
from pointsman.tools.openapi.rows import OpenApiTools, Operation
from pointsman.web.wire import Body, Moment, Name, Read

MOST_OPERATIONS = 64


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("An operation is listed twice.")
    return names


OperationName = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Operations = Annotated[
    list[OperationName],
    Field(min_length=1, max_length=MOST_OPERATIONS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]
Given = Annotated[
    dict[str, Any] | Annotated[str, StringConstraints(min_length=1)],
    Field(description="An OpenAPI document of version 3.0 or 3.1: as an object, or as a text in JSON or YAML."),
]
ServerUrl = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Header = Annotated[str, StringConstraints(max_length=8192)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=60)]

_CHOSEN = "Those that become tools: by operationId or, where one has none, as `GET /path`."
_SERVER = "Where they are called: http or https, public or allowed by the operator; absent: the document's first server."
_HEADERS = (
    "Sent with each call: `${token:INTEGRATION_KEY}` stands for the credential of the run's user, `${secret:NAME}` for one of the "
    "operator's secrets."
)


class OpenApiToolsCreate(Body):
    """A document, and the operations of it that become tools. Nothing is asked of anybody before a tool is called."""

    id: ChosenId
    name: Name
    document: Given
    operations: Operations = Field(description=_CHOSEN)
    server_url: ServerUrl | None = Field(default=None, description=_SERVER)
    headers: dict[str, Header] = Field(default_factory=dict[str, str], max_length=32, description=_HEADERS)
    timeout_seconds: Seconds = Field(default=30, description="How long a call may take.")


class OpenApiToolsPatch(Body):
    """Changes to OpenAPI tools, a JSON merge patch that reaches into `headers`."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    document: Given = Field(default_factory=str)
    operations: Operations = Field(default_factory=list[str], description=_CHOSEN)
    server_url: ServerUrl | None = Field(default_factory=str, description=_SERVER)
    headers: dict[str, Header | None] = Field(default_factory=dict[str, str | None], max_length=64, description=_HEADERS)
    timeout_seconds: Seconds = Field(default_factory=int)


class OpenApiOperation(Read):
    """An operation as a tool: `tool` is what models and permissions call it, `parameters` the JSON schema of its arguments."""

    operation: str
    tool: str
    description: str
    method: str
    path: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, operation: Operation) -> OpenApiOperation:
        """Shape one."""
        return cls(
            operation=operation.operation,
            tool=operation.tool,
            description=operation.description,
            method=operation.method,
            path=operation.path,
            parameters=operation.schema,
        )


class OpenApiToolsItem(Read):
    """OpenAPI tools in a list. `sha256` is the hash of the document's canonical JSON; a key of a tenant sees no headers."""

    id: str
    name: str
    sha256: str
    server_url: str
    operations: list[str]
    headers: dict[str, str]
    timeout_seconds: int
    created_at: Moment
    updated_at: Moment
    is_active: bool

    @classmethod
    def of(cls, tools: OpenApiTools, principal: Principal) -> OpenApiToolsItem:
        """Shape a row for somebody."""
        return cls(**_shaped(tools, principal))


class OpenApiToolsRead(OpenApiToolsItem):
    """OpenAPI tools; `notes` say what of the document could not be kept, and why that does no harm."""

    tools: list[OpenApiOperation]
    notes: list[str]

    @classmethod
    def of(cls, tools: OpenApiTools, principal: Principal) -> OpenApiToolsRead:
        """Shape a row for somebody."""
        compiled = tools.compiled
        shaped = [OpenApiOperation.of(operation) for operation in compiled.operations]
        return cls(**_shaped(tools, principal), tools=shaped, notes=list(compiled.notes))


def _shaped(tools: OpenApiTools, principal: Principal) -> dict[str, Any]:
    return {
        "id": tools.id,
        "name": tools.name,
        "sha256": tools.sha256,
        "server_url": tools.compiled.server_url,
        "operations": list(tools.operations),
        "headers": tools.headers if principal.is_operator else {},
        "timeout_seconds": tools.timeout_seconds,
        "created_at": tools.created_at,
        "updated_at": tools.updated_at,
        "is_active": tools.is_active,
    }
