"""Token counts where no provider reported any: about four characters a token, marked as estimated."""

from __future__ import annotations

import msgspec

from pointsman.llm.port import File, ModelCall, Text, Usage

_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_FILE = 1000


def estimate(call: ModelCall, produced: int, reported: Usage | None = None) -> Usage:
    """The usage of a call that produced so many characters; what was reported of an unfinished answer is a lower bound."""
    prompt, completion = prompt_tokens(call), _tokens(produced)
    if reported is None:
        return Usage(prompt_tokens=prompt, completion_tokens=completion, is_estimated=True)
    return msgspec.structs.replace(
        reported,
        prompt_tokens=reported.prompt_tokens or prompt,
        completion_tokens=max(reported.completion_tokens, completion),
        is_estimated=True,
    )


def prompt_tokens(call: ModelCall) -> int:
    """About how many tokens the call sends."""
    characters = len(call.system) + len(msgspec.json.encode(call.tools)) * bool(call.tools)
    files = 0
    for message in call.messages:
        for part in message.parts:
            if isinstance(part, File):
                files += 1
            else:
                characters += len(part.text) if isinstance(part, Text) else len(getattr(part, "args", "") or getattr(part, "content", ""))
    return _tokens(characters) + files * _TOKENS_PER_FILE


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)
