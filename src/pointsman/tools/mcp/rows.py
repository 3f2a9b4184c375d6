"""MCP servers as services carry them about: where a server is, what is pinned of its tools, and what was seen of it since."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record

ServerType = Literal["http", "stdio"]
State = Literal["new", "proposed", "approved", "changed"]


class PinnedTool(msgspec.Struct, frozen=True):
    """What is approved of a tool: everything that a model is told of it, and what says whether a call may be repeated."""

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool = False
    idempotent: bool = False


Tools = tuple[PinnedTool, ...]


class Server(msgspec.Struct, frozen=True):
    """A server as described: over HTTP by somebody, or with a command by the operator's settings (then it has no times)."""

    type: ServerType
    id: str
    name: str
    description: str | None
    url: str | None
    headers: dict[str, str]
    connect_seconds: float
    call_seconds: float
    is_active: bool = True
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None

    @classmethod
    def of(cls, row: Record) -> Server:
        """From a row that has its columns, and perhaps others."""
        columns = {name: row[name] for name in cls.__struct_fields__ if name not in {"type", "headers"}}
        return cls(type="http", headers=json_text.decode(row["headers"]), **columns)


class Pin(msgspec.Struct, frozen=True):
    """What was approved, None before the first time, and what was seen since that differs, None where nothing does."""

    tools: Tools | None = None
    sha256: str | None = None
    approved_by: str | None = None
    approved_at: dt.datetime | None = None
    proposal: Tools | None = None
    proposal_sha256: str | None = None
    proposed_at: dt.datetime | None = None

    @classmethod
    def of(cls, row: Record) -> Pin:
        """From a row that has its columns, and perhaps others; of a server that was never inspected all are null."""
        columns: dict[str, Any] = {name: row[name] for name in cls.__struct_fields__}
        columns |= {name: _tools(row[name]) for name in ("tools", "proposal")}
        return cls(**columns)

    @property
    def state(self) -> State:
        """Whether somebody has to look."""
        if self.tools is None:
            return "new" if self.proposal is None else "proposed"
        return "approved" if self.proposal is None else "changed"


class PinnedServer(NamedTuple):
    """A server and its pin."""

    server: Server
    pin: Pin


class Difference(NamedTuple):
    """Names of tools."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def difference(before: Iterable[PinnedTool], after: Iterable[PinnedTool]) -> Difference:
    """What a proposal would change, by name."""
    old, new = by_name(before), by_name(after)
    return Difference(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed=sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
    )


def by_name(tools: Iterable[PinnedTool]) -> Mapping[str, PinnedTool]:
    """The tools by their name at the server."""
    return {tool.name: tool for tool in tools}


def sha256_of(tools: Tools) -> str:
    """Of their canonical JSON, in hex: equal tools have an equal hash."""
    return hashlib.sha256(encoded(tools).encode()).hexdigest()


def encoded(tools: Tools) -> str:
    """The tools as they are kept."""
    return msgspec.json.encode(tools, order="deterministic").decode()


def without(tools: Tools, scrub: Callable[[str], str]) -> Tools:
    """The tools as they may be kept and shown: a server may repeat in them what it was sent."""
    said = encoded(tools)
    clean = scrub(said)
    return tools if clean == said else _decoder.decode(clean)


_decoder = msgspec.json.Decoder(Tools)


def _tools(text: str | None) -> Tools | None:
    return None if text is None else _decoder.decode(text)
