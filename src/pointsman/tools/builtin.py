"""The built-in tools at work: the time, memory, knowledge and the web; `think` belongs to the turn itself."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from pointsman.kit.ids import is_chosen_id
from pointsman.knowledge.library import Library
from pointsman.knowledge.schemas import Passage
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.sessions.memory import LONGEST, MemoryBook
from pointsman.tools.fetching import FETCH_SPEC, HTTP_FETCH, Web
from pointsman.turns.loop import THINK_SPEC, thought_of
from pointsman.turns.plan import THINK
from pointsman.turns.ports import ToolOutcome

CURRENT_TIME = "current_time"
MEMORY = "memory"
KNOWLEDGE_SEARCH = "knowledge_search"
_LONGEST_QUERY = 2000

_Handler = Callable[[ToolCall], Coroutine[Any, Any, ToolOutcome]]


class Builtins:
    """The built-in tools of one turn, as a toolbox.

    `timezone` is the zone of `current_time` where the model names none; `book` is None where there is nobody to remember, `web` where
    nothing is fetched.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        timezone: str | None,
        book: MemoryBook | None,
        library: Library | None = None,
        web: Web | None = None,
    ) -> None:
        self._timezone = timezone or "UTC"
        self._handlers: dict[str, _Handler] = {}
        specs: list[ToolSpec] = []
        for name in names:
            if name == CURRENT_TIME:
                self._handlers[name] = self._current_time
                specs.append(CURRENT_TIME_SPEC)
            elif name == THINK:
                self._handlers[name] = _thought
                specs.append(THINK_SPEC)
            elif name == MEMORY and book is not None:
                self._handlers[name] = _Memory(book)
                specs.append(MEMORY_SPEC)
            elif name == KNOWLEDGE_SEARCH and library is not None:
                self._handlers[name] = _Knowledge(library)
                specs.append(KNOWLEDGE_SPEC)
            elif name == HTTP_FETCH and web is not None:
                self._handlers[name] = _Fetching(web)
                specs.append(FETCH_SPEC)
        self._specs = tuple(specs)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        return self._specs

    async def call(self, call: ToolCall) -> ToolOutcome:
        """Run a tool."""
        return await self._handlers[call.name](call)

    async def _current_time(self, call: ToolCall) -> ToolOutcome:
        arguments, wrong = _decode(call, _TimeArguments)
        if arguments is None:
            return wrong
        zone = arguments.timezone or self._timezone
        try:
            now = dt.datetime.now(zoneinfo.ZoneInfo(zone))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return ToolOutcome(f"There is no time zone {zone!r}. Use an IANA name such as Europe/Berlin.", is_error=True)
        return _json({"time": now.isoformat(timespec="seconds"), "timezone": zone, "weekday": now.strftime("%A")})


class _TimeArguments(msgspec.Struct, forbid_unknown_fields=True):
    timezone: str | None = None


class _MemoryArguments(msgspec.Struct, forbid_unknown_fields=True):
    action: Literal["remember", "recall", "forget"]
    content: str | None = None
    id: str | None = None


class _Memory:
    def __init__(self, book: MemoryBook) -> None:
        self._book = book

    async def __call__(self, call: ToolCall) -> ToolOutcome:
        arguments, wrong = _decode(call, _MemoryArguments)
        if arguments is None:
            return wrong
        match arguments.action:
            case "remember":
                return await self._remember(call, arguments)
            case "forget":
                return await self._forget(arguments)
            case "recall":
                memories = await self._book.recall()
                return _json([{"id": memory.id, "content": memory.content} for memory in memories])

    async def _remember(self, call: ToolCall, arguments: _MemoryArguments) -> ToolOutcome:
        # PostgreSQL's text has no NUL, and a model may write one.
        content = (arguments.content or "").replace("\x00", "").strip()
        if not content:
            return ToolOutcome("Give the fact to remember as `content`.", is_error=True)
        if len(content) > LONGEST:
            return ToolOutcome(f"A memory has at most {LONGEST} characters; write the fact, not the conversation.", is_error=True)
        return _json({"id": await self._book.remember(call.id, content)})

    async def _forget(self, arguments: _MemoryArguments) -> ToolOutcome:
        if not arguments.id:
            return ToolOutcome("Give the `id` of the memory; `recall` lists them.", is_error=True)
        if not is_chosen_id(arguments.id) or not await self._book.forget(arguments.id):
            return ToolOutcome(f"There is no memory {arguments.id!r}; `recall` lists them.", is_error=True)
        return _json({"forgotten": arguments.id})


class _SearchArguments(msgspec.Struct, forbid_unknown_fields=True):
    query: str


class _Knowledge:
    def __init__(self, library: Library) -> None:
        self._library = library

    async def __call__(self, call: ToolCall) -> ToolOutcome:
        arguments, wrong = _decode(call, _SearchArguments)
        if arguments is None:
            return wrong
        query = arguments.query.replace("\x00", " ").strip()[:_LONGEST_QUERY]
        if not query:
            return ToolOutcome("Say what to look for as `query`.", is_error=True)
        return _json([_cited(passage) for passage in await self._library.search(query)])


class _FetchArguments(msgspec.Struct, forbid_unknown_fields=True):
    url: str


class _Fetching:
    def __init__(self, web: Web) -> None:
        self._web = web

    async def __call__(self, call: ToolCall) -> ToolOutcome:
        arguments, wrong = _decode(call, _FetchArguments)
        return wrong if arguments is None else await self._web.fetch(arguments.url.strip())


def _cited(passage: Passage) -> dict[str, Any]:
    """A passage with what a reader finds it by; what is not known of it is left out."""
    where = {"file": passage.original_filename, "page": passage.page, "heading": passage.heading, "file_id": str(passage.file_id)}
    return {name: value for name, value in where.items() if value is not None} | {"content": passage.content}


async def _thought(call: ToolCall) -> ToolOutcome:
    return ToolOutcome("Noted.") if thought_of(call) else ToolOutcome('Write your thought: {"thought": "..."}.', is_error=True)


_T = TypeVar("_T")


def _decode(call: ToolCall, kind: type[_T]) -> tuple[_T | None, ToolOutcome]:
    try:
        return msgspec.json.decode(call.args or "{}", type=kind), ToolOutcome("")
    except (msgspec.MsgspecError, UnicodeError) as error:
        return None, ToolOutcome(f"The arguments do not fit: {error}.", is_error=True)


def _json(value: Any) -> ToolOutcome:
    return ToolOutcome(msgspec.json.encode(value).decode())


CURRENT_TIME_SPEC = ToolSpec(
    CURRENT_TIME,
    "The current date and time.",
    {
        "type": "object",
        "properties": {"timezone": {"type": "string", "description": "IANA time zone such as Europe/Berlin."}},
        "additionalProperties": False,
    },
)

MEMORY_SPEC = ToolSpec(
    MEMORY,
    "Your memory of this user, kept beyond this conversation. Remember lasting facts and wishes the user tells you, not small talk.",
    {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": ["remember", "recall", "forget"]},
            "content": {"type": "string", "description": "The fact to remember, as one sentence."},
            "id": {"type": "string", "description": "The memory to forget."},
        },
        "required": ["action"],
        "additionalProperties": False,
    },
)

KNOWLEDGE_SPEC = ToolSpec(
    KNOWLEDGE_SEARCH,
    "Search the files that you were given to know. Each passage says its file, page and heading: cite them where you use it, "
    "as in [handbook.pdf, page 3]. What no passage says, you do not know from the files.",
    {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "Words of what you look for; fewer and rarer ones find more."}},
        "required": ["query"],
        "additionalProperties": False,
    },
)
