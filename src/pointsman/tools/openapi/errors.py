"""What can go wrong with OpenAPI tools."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class OpenApiToolsNotFound(Problem):
    """No registration of OpenAPI tools has this id. A deleted one counts as absent.

    `GET /v2/openapi-tools` lists them; creating a deleted one again brings it back.
    """

    kind = Kind.NOT_FOUND
    code = "openapi-tools-not-found"
    title = "There are no such OpenAPI tools"


class OpenApiToolsExist(Problem):
    """An active registration of OpenAPI tools has this id already.

    Choose another id, or change the one that is there with `PATCH /v2/openapi-tools/{id}`.
    """

    kind = Kind.CONFLICT
    code = "openapi-tools-exist"
    title = "OpenAPI tools of this id exist already"


class OpenApiDocumentRefused(Problem):
    """The document is no OpenAPI document of version 3.0 or 3.1, or what was chosen of it cannot become tools.

    `errors` names each place. Refused are references to other documents, references that lead in a circle before any schema is reached,
    required parameters other than in path, query and header in the styles `simple` and `form`, required bodies other than JSON, and what
    goes beyond the bounds in size or depth. Correct the document, or choose other operations. Nothing was stored, and nothing was asked of
    anybody.
    """

    kind = Kind.INVALID
    code = "openapi-document-refused"
    title = "The OpenAPI document cannot be used"


class OpenApiToolsMissing(Problem):
    """The agent lists OpenAPI tools that have been deleted since, or an operation that was taken out of them.

    Register them again, choose the operation again, or take the reference out of the `tools` of the agent or its prompt.
    """

    kind = Kind.CONFLICT
    code = "openapi-tools-missing"
    title = "OpenAPI tools of the agent are gone"


class OpenApiToolsUnknown(Problem):
    """The `tools` of an agent or a prompt name OpenAPI tools, or an operation of them, that do not exist or were deleted.

    `GET /v2/openapi-tools` lists those there are; `errors` suggests one where a name is close.
    """

    kind = Kind.INVALID
    code = "openapi-tools-unknown"
    title = "There are no such OpenAPI tools to give to an agent"
