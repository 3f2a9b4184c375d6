"""The rows of the report, each a function of the stage."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.results import Row
from benchmarks.rows import calls, chats, files, growth, headers, opened, searches, starts, streams, work
from benchmarks.stage import Stage

ROWS: dict[str, Callable[[Stage], Row]] = {
    "chat-c1": chats.alone,
    "chat-c8": chats.at_8,
    "chat-c32": chats.at_32,
    "stream-c1": streams.alone,
    "streams-200": streams.two_hundred,
    "streams-500": streams.five_hundred,
    "streams-1000": opened.a_thousand,
    "stream-memory": opened.memory,
    "streams-claude": streams.claude,
    "streams-gemini": streams.gemini,
    "tools": calls.tools,
    "read-agent": calls.read_agent,
    "create-prompt": calls.create_prompt,
    "start": starts.start,
    "idle": starts.idle,
    "help": starts.command_help,
    "growth-sessions": growth.sessions,
    "growth-agents": growth.agents,
    "growth-keys": growth.keys,
    "growth-replicas": growth.replicas,
    "knowledge-search-text": searches.by_text,
    "knowledge-search-hybrid": searches.hybrid,
    "jobs": work.throughput,
    "jobs-pick-up": work.pick_up,
    "jobs-sandbox": work.sandbox,
    "jobs-idle": work.idle,
    "credential-cached": headers.cached,
    "knowledge-indexing": files.indexing,
    "upload-200mb": files.upload,
}
