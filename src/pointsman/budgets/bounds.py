"""How much a call may use at most: an upper bound of its prompt, its output, and what both cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from pointsman.budgets.rows import Unit
from pointsman.llm.port import File, Message, ModelCall, Usage
from pointsman.usage.cost import cost_of

# Above what tokenizers make of ordinary text: about 4 characters of English a token, 3 of code, 2 of other alphabets, 1 of Chinese.
_ASCII_PER_TOKEN = 3
_TOKENS_PER_OTHER_BYTE = 0.75
_PER_PART = 12
_PER_IMAGE = 6000
_BYTES_PER_TOKEN_OF_DOCUMENTS = 4
_ASCII = bytes(range(128))
PER_CALL = 64
"""Tokens of what a request has around its text; no call is reserved with less."""
LEAST_OUTPUT = 16
"""Below so many tokens an answer is not worth its prompt; some providers take no smaller `max_tokens`."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that one attempt at each of a call's models sends and gets: the next is asked where those before it fail amid an answer.

    An attempt that is repeated had no output; where its prompt is billed all the same, that is counted but not reserved for. It
    happens too seldom to hold several times the prompt for every call.
    """

    models: tuple[str, ...]
    prompt: int
    output: int

    @property
    def is_priced(self) -> bool:
        """Whether a cost can be told for every model."""
        return all(cost_of(model, Usage(prompt_tokens=1, completion_tokens=1)) is not None for model in self.models)

    def amount(self, unit: Unit, output: int) -> Decimal:
        """What is to be reserved for so many tokens of output: tokens, or dollars where all models are priced."""
        if unit == "tokens":
            return Decimal(len(self.models) * (self.prompt + output))
        return sum((_dearest(model, self.prompt, output) for model in self.models), Decimal(0))

    def output_within(self, unit: Unit, left: Decimal) -> int:
        """The most output, up to the bound, whose amount is within `left`; below 0 where not even the prompt is."""
        if unit == "tokens":
            return min(self.output, int(left) // len(self.models) - self.prompt)
        low, high = -1, self.output  # what fits at least, and what fits at most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.amount(unit, middle) <= left else (low, middle - 1)
        return low


def prompt_and_output(call: ModelCall, output: int) -> tuple[int, int]:
    """The most tokens of a call's prompt and of its answer; `output` where its settings have no `max_tokens`."""
    prompt, output = _prompt(call), call.settings.get("max_tokens") or output
    if call.script is not None and any(model.startswith("scripted:") for model in call.models):
        # A scripted model says and reports what its script does, whatever it is told.
        prompt, output = _as_scripted(call.script, prompt, output)
    return prompt, output


def _dearest(model: str, prompt: int, output: int) -> Decimal:
    """With a prompt that is written to the provider's cache, where that costs more."""
    prices = (cost_of(model, Usage(prompt, output, cache_write_tokens=written)) for written in (0, prompt))
    return max(price or Decimal(0) for price in prices)


def _prompt(call: ModelCall) -> int:
    parts = [part for message in call.messages for part in message.parts]
    text = (call.system, call.tools, call.output_schema, [_without_files(message) for message in call.messages])
    encoded = msgspec.json.encode(text)
    others = len(encoded.translate(None, _ASCII))
    tokens = -(-(len(encoded) - others) // _ASCII_PER_TOKEN) + math.ceil(others * _TOKENS_PER_OTHER_BYTE)
    files = sum(_of_file(part) for part in parts if isinstance(part, File))
    return tokens + files + _PER_PART * (len(parts) + len(call.tools)) + PER_CALL


def _without_files(message: Message) -> tuple[Any, ...]:
    return tuple(part for part in message.parts if not isinstance(part, File))


def _of_file(file: File) -> int:
    return _PER_IMAGE if file.media_type.startswith("image/") else max(_PER_IMAGE, len(file.data) // _BYTES_PER_TOKEN_OF_DOCUMENTS)


def _as_scripted(script: Mapping[str, Any], prompt: int, output: int) -> tuple[int, int]:
    for turn in script.get("turns", ()):
        usage: Mapping[str, int] = turn.get("usage") or {}
        # Without usage it reports words, of which there is at most one in two bytes.
        written = usage.get("completion_tokens") or len(msgspec.json.encode(turn)) // 2
        prompt, output = max(prompt, usage.get("prompt_tokens", 0)), max(output, written)
    return prompt, output
