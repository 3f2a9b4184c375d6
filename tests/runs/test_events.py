from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.kit.db import Database
from pointsman.llm.port import AssistantMessage, File, Text, ToolCall, UserMessage
from pointsman.runs import events
from pointsman.runs.events import Event, Verbosity, encode, encode_json, pack, unpack, visible

ANY_TEXT = st.text(st.characters(), max_size=30) | st.text('\ud83d\udc4d\ud800a\x00\n"\\', max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
)
PAYLOADS = st.dictionaries(
    st.from_regex(r"[a-z_]{1,10}", fullmatch=True).filter(lambda key: key not in {"run_id", "seq", "at"}), JSON, max_size=4
)
LONE = re.compile(r"[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")


def readable(value: Any) -> Any:
    """What is left of a value when halves of characters are replaced and pairs of halves are one character."""
    if isinstance(value, str):
        return LONE.sub("\ufffd", value).encode("utf-16", "surrogatepass").decode("utf-16")
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, list) else value


@given(st.integers(1, 2**31 - 1), PAYLOADS)
def test_an_event_is_json_with_its_run_number_and_time(seq: int, payload: dict[str, Any]) -> None:
    event = encode("run_1", seq, "message.delta", payload)
    data = json.loads(event.data.decode())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data.pop("at"))
    assert data == {"run_id": "run_1", "seq": seq} | readable(payload)
    assert b"\n" not in event.data  # one line of a stream


@given(st.lists(st.tuples(st.sampled_from(["message.delta", "tool.called"]), PAYLOADS), min_size=1, max_size=5))
def test_stored_events_are_byte_for_byte_what_was_sent(made: list[tuple[str, dict[str, Any]]]) -> None:
    sent = [encode("run_1", seq, type_, payload) for seq, (type_, payload) in enumerate(made, start=1)]
    assert unpack(pack(sent)) == sent


async def test_the_database_gives_back_the_bytes_it_was_given(db: Database) -> None:
    texts = ["plain", "Ω🍵\u2028", 'quote " and \\', "a\x00b", "half \ud83d", "1e400", " spaces  kept "]
    sent = [encode("run_1", seq, "message.delta", {"b": text, "a": 1.0}) for seq, text in enumerate(texts, start=1)]
    async with db.connection() as connection:
        row = await connection.fetchval("SELECT ($1::text::json)::text", pack(sent))
    assert unpack(row) == sent


def test_half_a_character_in_a_message_does_not_lose_the_message() -> None:
    message = AssistantMessage((Text("a\ud83d"), ToolCall("1", "t", '{"x": "\udc4d"}', details={"k\ud83d": ["\ud83d"]})), "m")
    assert json.loads(encode_json(message)) == {
        "role": "assistant",
        "parts": [
            {"type": "text", "text": "a\ufffd"},
            {"type": "tool_call", "id": "1", "name": "t", "args": '{"x": "\ufffd"}', "details": {"k\ufffd": ["\ufffd"]}},
        ],
        "model": "m",
    }
    attached = json.loads(encode_json(UserMessage((Text("\ud83d"), File("image/png", b"\xff\x00")))))
    assert attached["parts"][1] == {"type": "file", "media_type": "image/png", "data": "/wA="}


TYPES = [
    *(events.RUN_STARTED, events.MESSAGE_DELTA, events.MESSAGE_COMPLETED, events.MESSAGE_RESET, events.REASONING_DELTA, events.TOOL_CALLED),
    *(events.TOOL_COMPLETED, events.USAGE_RECORDED, "job.output", events.RUN_COMPLETED, events.RUN_FAILED, events.RUN_CANCELLED),
]


@pytest.mark.parametrize(
    ("verbosity", "hidden"),
    [
        ("full", []),
        ("events", [events.REASONING_DELTA, "job.output"]),
        ("result", TYPES[1:9]),
    ],
)
def test_a_reader_is_shown_what_its_verbosity_says(verbosity: Verbosity, hidden: list[str]) -> None:
    assert [type_ for type_ in TYPES if not visible(Event(1, type_, b"{}"), verbosity)] == hidden
