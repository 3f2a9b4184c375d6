"""Wires OpenAPI tools: their catalogue, and what agents do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pointsman.kit.egress import Egress
from pointsman.tools.openapi.service import OpenApiToolsService
from pointsman.tools.openapi.toolbox import TYPE, OpenApiSource
from pointsman.tools.references import References

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_openapi_tools(gateway: Gateway) -> Egress:
    """Give the gateway the verbs and the source of OpenAPI tools; what is returned is to be closed."""
    # A way out of their own: APIs that are slow take no connection from chats that fetch attachments.
    egress = Egress(gateway.settings.egress.allow)
    references = cast("References", gateway.services[References])
    gateway.provide(OpenApiToolsService(gateway.db, egress, references))
    gateway.tool_sources[TYPE] = OpenApiSource(gateway.db, egress, references)
    return egress
