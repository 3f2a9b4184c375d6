"""What a request to the fake upstream asks for, read from any of the four wire formats and from markers in its last user text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Wire = Literal["openai", "responses", "anthropic", "google"]
Json = dict[str, Any]

_MARK = re.compile(r"\[\[((?!tool=|say=|json=)[^\]]*?)\]\]")
_TOOL = re.compile(r"\[\[tool=([A-Za-z0-9_.\-]+)(?:;args=(\{.*?\}))?\]\]", re.DOTALL)
_SAY = re.compile(r"\[\[say=(.*?)\]\]", re.DOTALL)
_JSON = re.compile(r"\[\[json=(\{.*?\})\]\]", re.DOTALL)


class Attachment(msgspec.Struct, frozen=True):
    """A file that reached the upstream."""

    media_type: str
    size: int
    sha256: str


@dataclass(slots=True)
class Asked:
    """The parts of a request that decide the answer."""

    wire: Wire
    model: str
    stream: bool
    wants_usage: bool
    text: str  # of the last user message
    results: int  # tool results after it
    offers_tools: bool
    schema: Json | None
    attachments: list[Attachment]
    prompt_tokens: int
    inputs: tuple[str, ...] = ()  # texts whose vectors are asked for
    dimensions: int | None = None


@dataclass(slots=True)
class Plan:
    """How the upstream behaves for one request; every field is set by a marker of the same name."""

    n: int = 20  # tokens of the answer: "tok0 tok1 … "
    ttft: float = 0.0  # ms before the first token
    itl: float = 0.0  # ms between tokens; 0: the whole stream in one write
    think: int = 0  # tokens of visible thinking
    reasoning: int = 0  # reasoning tokens in the usage (visible thinking is added)
    cached: int = 0  # prompt tokens read from the provider's cache
    cache_write: int = 0
    dimensions: int | None = None  # of vectors, whatever was asked for
    finish: str = "stop"  # stop, length, filter
    rounds: int = 1  # how often the tool markers answer with tool calls before the text comes
    fault: str = ""
    retry_after: float | None = None
    after: int | None = None  # tokens sent before the fault happens
    late: int = 0  # 1: the fault happens after the usage, in place of the stream's end
    fail_times: int | None = None  # the fault happens so often for this text, then never again
    message: str = "the fake upstream was told to fail"
    say: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def key(self, asked: Asked) -> tuple[object, ...] | None:
        """Equal for requests with equal answers; None where answers are not worth keeping."""
        if self.fault or self.calls or self.say is not None or asked.inputs:
            return None
        answer = (self.n, self.think, self.reasoning, self.cached, self.cache_write, self.finish)
        return (asked.wire, asked.model, asked.stream, asked.wants_usage, asked.prompt_tokens, *answer)

    def tokens(self) -> list[str]:
        """The text of the answer, a token an item."""
        if self.say is not None:
            return re.findall(r"\S+\s*|\s+", self.say)
        return [f"tok{i} " for i in range(self.n)]

    def thoughts(self) -> list[str]:
        """The visible thinking, a token an item."""
        return [f"think{i} " for i in range(self.think)]


def read_plan(asked: Asked, defaults: Mapping[str, str]) -> Plan:
    """The plan that the markers in the last user text ask for."""
    plan = Plan()
    for name, value in defaults.items():
        _set(plan, name, value)
    for mark in _MARK.finditer(asked.text):
        for name, value in _options(mark[1]):
            _set(plan, name, value)
    if say := _SAY.search(asked.text):
        plan.say = say[1]
    if asked.schema is not None:
        explicit = _JSON.search(asked.text)
        plan.say = explicit[1] if explicit else msgspec.json.encode(example(asked.schema, asked.schema)).decode()
    if asked.offers_tools and asked.results < plan.rounds * len(_TOOL.findall(asked.text)):
        plan.calls = [(name, args or "{}") for name, args in _TOOL.findall(asked.text)]
    return plan


def _options(mark: str) -> Iterator[tuple[str, str]]:
    for item in re.split(r"[;\s]+(?=[a-z_]+=|$)", mark.strip()):
        name, equals, value = item.partition("=")
        if equals:
            yield name, value


def _set(plan: Plan, name: str, value: str) -> None:
    if name in {"fault", "finish", "message"}:
        setattr(plan, name, value)
    elif name in {"ttft", "itl", "retry_after"}:
        setattr(plan, name, float(value))
    elif name in Plan.__dataclass_fields__:
        setattr(plan, name, int(value))
    else:
        raise ValueError(f"the fake upstream knows no marker {name!r}")


def example(schema: Json, root: Json) -> Any:  # noqa: PLR0911 - a schema has that many shapes
    """The smallest value that fits a JSON schema."""
    if reference := schema.get("$ref"):
        target: Any = root
        for step in str(reference).removeprefix("#/").split("/"):
            target = target[step]
        return example(target, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return example(schema[union][0], root)
    kind = schema.get("type", "object")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        return {name: example(part, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {"type": "string"}), root)] * max(1, schema.get("minItems", 1))
    return {"integer": schema.get("minimum", 1), "number": 1.5, "boolean": True, "null": None}.get(kind, "tok0")


def read_request(wire: Wire, path: str, raw: bytes) -> Asked:
    """Read a request's body. Raises ValueError for one that no SDK would send."""
    body: Json = msgspec.json.decode(raw)
    tokens = max(1, len(raw) // 4)
    if path.endswith(("/embeddings", ":batchEmbedContents")):
        return _embedding(wire, path, body, tokens)
    if wire == "openai":
        return _openai(body, tokens)
    if wire == "responses":
        return _responses(body, tokens)
    if wire == "anthropic":
        return _anthropic(body, tokens)
    return _google(body, path, tokens)


def _embedding(wire: Wire, path: str, body: Json, tokens: int) -> Asked:
    if wire == "google":
        model = path.rsplit("/", 1)[-1].partition(":")[0]
        requests: list[Json] = body["requests"]
        if any(request["model"] != f"models/{model}" for request in requests):
            raise ValueError("each request names the model of the path")
        inputs = tuple(request["content"]["parts"][0]["text"] for request in requests)
        dimensions = requests[0].get("outputDimensionality")
    else:
        model, inputs, dimensions = body["model"], tuple(body["input"]), body.get("dimensions")
    if not inputs or not all(inputs):
        raise ValueError("an input is empty")
    text = " ".join(inputs)
    return Asked(wire, model, False, True, text, 0, False, None, [], tokens, inputs, dimensions)


def _openai(body: Json, tokens: int) -> Asked:
    messages: list[Json] = body["messages"]
    last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1)
    parts = _parts(messages[last]["content"]) if last >= 0 else []
    files = [_file(part) for message in messages for part in _parts(message.get("content")) if part["type"] in {"image_url", "file"}]
    form = body.get("response_format") or {}
    return Asked(
        wire="openai",
        model=body["model"],
        stream=bool(body.get("stream")),
        wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        text=_text(parts),
        results=sum(message["role"] == "tool" for message in messages[last + 1 :]),
        offers_tools=bool(body.get("tools")),
        schema=form["json_schema"]["schema"] if form.get("type") == "json_schema" else None,
        attachments=files,
        prompt_tokens=tokens,
    )


def _responses(body: Json, tokens: int) -> Asked:
    given = body["input"]
    items: list[Json] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    last = max((i for i, item in enumerate(items) if item.get("role") == "user"), default=-1)
    parts = _parts(items[last]["content"]) if last >= 0 else []
    files = [_file(part) for item in items for part in _parts(item.get("content")) if part["type"] in {"input_image", "input_file"}]
    form = (body.get("text") or {}).get("format") or {}
    return Asked(
        wire="responses",
        model=body["model"],
        stream=bool(body.get("stream")),
        wants_usage=True,
        text=_text(parts),
        results=sum(item.get("type") == "function_call_output" for item in items[last + 1 :]),
        offers_tools=bool(body.get("tools")),
        schema=form.get("schema") if form.get("type") == "json_schema" else None,
        attachments=files,
        prompt_tokens=tokens,
    )


def _anthropic(body: Json, tokens: int) -> Asked:
    messages: list[Json] = body["messages"]
    if not isinstance(body.get("max_tokens"), int):
        raise ValueError("max_tokens: Field required")  # noqa: TRY004 - the door below answers it as a bad request
    contents = [(message["role"], _parts(message["content"])) for message in messages]
    asks = [i for i, (role, parts) in enumerate(contents) if role == "user" and any(part["type"] != "tool_result" for part in parts)]
    last = asks[-1] if asks else -1
    files = [_file(part["source"]) for _, parts in contents for part in parts if part["type"] in {"image", "document"}]
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return Asked(
        wire="anthropic",
        model=body["model"],
        stream=bool(body.get("stream")),
        wants_usage=True,
        text=_text(contents[last][1]) if last >= 0 else "",
        results=sum(part["type"] == "tool_result" for _, parts in contents[max(last, 0) :] for part in parts),
        offers_tools=bool(body.get("tools")),
        schema=form.get("schema"),
        attachments=files,
        prompt_tokens=tokens,
    )


def _google(body: Json, path: str, tokens: int) -> Asked:
    model, _, verb = path.rsplit("/", 1)[-1].partition(":")
    contents: list[Json] = body["contents"]
    parts = [list(content.get("parts") or []) for content in contents]
    asks = [
        i
        for i, content in enumerate(contents)
        if content.get("role", "user") == "user" and any("functionResponse" not in part for part in parts[i])
    ]
    last = asks[-1] if asks else -1
    config = body.get("generationConfig") or {}
    return Asked(
        wire="google",
        model=model,
        stream=verb.startswith("stream"),
        wants_usage=True,
        text=" ".join(part["text"] for part in parts[last] if "text" in part) if last >= 0 else "",
        results=sum("functionResponse" in part for group in parts[max(last, 0) :] for part in group),
        offers_tools=bool(body.get("tools")),
        schema=config.get("responseJsonSchema") or config.get("responseSchema"),
        attachments=[_file(part["inlineData"]) for group in parts for part in group if "inlineData" in part],
        prompt_tokens=tokens,
    )


def _parts(content: Any) -> list[Json]:
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _text(parts: list[Json]) -> str:
    return " ".join(part["text"] for part in parts if "text" in part)


def _file(part: Json) -> Attachment:
    """An attachment in any provider's spelling."""
    if media_type := part.get("mimeType") or part.get("mime_type"):  # Google's API takes both spellings
        return _attachment(media_type, part["data"])
    if "media_type" in part:
        return _attachment(part["media_type"], part["data"])
    image = part.get("image_url")
    url = image["url"] if isinstance(image, dict) else image
    url = url or part.get("file_data") or (part.get("file") or {}).get("file_data") or part.get("url") or ""
    head, _, data = str(url).partition(",")
    return _attachment(head.removeprefix("data:").removesuffix(";base64"), data)


def _attachment(media_type: str, data: str) -> Attachment:
    raw = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_" if "-" in data or "_" in data else None)
    return Attachment(media_type, len(raw), hashlib.sha256(raw).hexdigest())
