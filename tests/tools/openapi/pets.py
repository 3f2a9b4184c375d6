"""An OpenAPI document for tests, and the registration of what is in it."""

from __future__ import annotations

from typing import Any

import yaml

from pointsman.tools.openapi.compiling import compile_tools
from pointsman.tools.openapi.documents import read_document
from pointsman.tools.openapi.rows import Compiled, Operation

PETS = """
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers:
  - url: https://{env}.example.com/v1/
    variables: {env: {default: api}}
paths:
  /pets:
    get:
      operationId: listPets
      summary: All pets
      description: By name.
      parameters:
        - {name: "tag[]", in: query, schema: {type: array, items: {type: string}}}
        - {name: kinds, in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: where, in: query, schema: {type: object, additionalProperties: {type: string}}}
        - {name: limit, in: query, description: How many., schema: {type: integer, maximum: 100}}
        - {name: X-Trace, in: header, schema: {type: string}}
      responses: {200: {description: Pets}}
    post:
      operationId: addPet
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: '#/components/schemas/Pet'}}
      responses: {201: {description: Made}}
  /pets/{petId}:
    parameters:
      - $ref: '#/components/parameters/PetId'
    get:
      operationId: getPet
      responses: {200: {description: A pet}}
    delete:
      operationId: removePet
      responses: {204: {description: Gone}}
    patch:
      requestBody:
        content:
          application/merge-patch+json: {schema: {type: object}}
      responses: {200: {description: Changed}}
components:
  parameters:
    PetId: {name: petId, in: path, required: true, schema: {type: string}}
  schemas:
    Pet:
      type: object
      required: [id, name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, nullable: true}
        age: {type: integer, minimum: 0, exclusiveMinimum: true}
        owner: {$ref: '#/components/schemas/Owner'}
    Owner: {type: object, properties: {email: {type: string, format: email}}}
"""


def document(**changes: Any) -> dict[str, Any]:
    """The document as an object, with some of its fields changed."""
    return yaml.safe_load(PETS) | changes


def with_operation(
    operation: dict[str, Any], *, method: str = "get", path: str = "/x", version: str = "3.0.0", **more: Any
) -> dict[str, Any]:
    """A document of one operation, `op`."""
    node = {"operationId": "op", "responses": {}, **operation}
    return {"openapi": version, "servers": [{"url": "https://api.example.com"}], "paths": {path: {method: node}}, **more}


def compiled(
    given: dict[str, Any] | str, *chosen: str, source_id: str = "pets", server_url: str | None = None, headers: tuple[str, ...] = ()
) -> Compiled:
    return compile_tools(read_document(given), source_id=source_id, chosen=chosen or ("op",), server_url=server_url, headers=headers)


def operation(given: dict[str, Any] | str, name: str = "op") -> Operation:
    return compiled(given, name).operations[0]
