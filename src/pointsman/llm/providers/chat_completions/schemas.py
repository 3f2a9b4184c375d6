"""Tools and output schemas as a model accepts them. Rewriting a schema takes long, and the same ones come with every call."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from pointsman.llm.port import ToolSpec
from pointsman.llm.providers.chat_completions.capabilities import Capabilities
from pointsman.llm.providers.messages import schema_name

_KEPT = 200


class Schemas:
    """What one model is sent of schemas, as JSON; the most recently used ones are kept."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._kept: OrderedDict[bytes, msgspec.Raw] = OrderedDict()

    def tool(self, tool: ToolSpec) -> msgspec.Raw:
        """A tool's definition."""
        return self._made(b"t" + msgspec.json.encode(tool), lambda: self._tool(tool))

    def response_format(self, schema: dict[str, Any]) -> msgspec.Raw:
        """The output schema, for models that are held to it."""
        return self._made(b"f" + msgspec.json.encode(schema), lambda: self._response_format(schema))

    def instructions(self, schema: dict[str, Any]) -> str | None:
        """The output schema in words, for models that are not."""
        known = self._capabilities
        if known.native_schema and not known.schema_in_instructions:
            return None
        rewritten, _ = self._rewritten(schema)
        template = known.schema_instructions if "{schema}" in known.schema_instructions else known.schema_instructions + "\n\n{schema}"
        return template.format(schema=json.dumps({**rewritten, "title": schema_name(schema)}))

    def _made(self, key: bytes, make: Callable[[], dict[str, Any]]) -> msgspec.Raw:
        made = self._kept.get(key)
        if made is None:
            made = self._kept[key] = msgspec.Raw(msgspec.json.encode(make()))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        parameters, strict = self._rewritten(tool.parameters, output=False)
        function: dict[str, Any] = {"name": tool.name, "description": tool.description or "", "parameters": parameters}
        if strict and self._capabilities.strict_tools:
            function["strict"] = True
        return {"type": "function", "function": function}

    def _response_format(self, schema: dict[str, Any]) -> dict[str, Any]:
        rewritten, strict = self._rewritten(schema)
        made: dict[str, Any] = {"name": schema_name(schema), "schema": rewritten}
        if self._capabilities.strict_tools:
            made["strict"] = strict
        return {"type": "json_schema", "json_schema": made}

    def _rewritten(self, schema: dict[str, Any], *, output: bool = True) -> tuple[dict[str, Any], bool | None]:
        """The schema and whether the model can be held to it; None where that is not known."""
        kind = self._capabilities.transformer
        if kind is None:
            return schema, None
        if output:
            kind = getattr(kind, "output_object_transformer", kind)
        transformer = kind(schema, strict=None)
        return transformer.walk(), transformer.is_strict_compatible
