"""A coding agent with a command line, as far as ours are concerned: it says JSON lines, changes files and reports its usage.

Its prompt is its script: words that it acts on, in their order.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Act on the prompt, which is the last argument or comes on standard input."""
    prompt = sys.stdin.read() if sys.argv[-1] == "-" else sys.argv[-1]
    say({"type": "system", "model": "claude-fake-1"})
    for word in prompt.split():
        act(word)
    say({"type": "result", "result": "All mended.", "model": "claude-fake-1", "usage": {"input_tokens": 120, "output_tokens": 34}})


def act(word: str) -> None:
    name, _, rest = word.partition("=")
    match name:
        case "write":
            say({"type": "tool_use", "name": "Write", "input": {"path": rest}})
            Path(rest).parent.mkdir(parents=True, exist_ok=True)
            Path(rest).write_text("written\n")
        case "delete":
            Path(rest).unlink()
        case "say":
            for piece in rest.split("-"):
                say({"type": "delta", "text": f"{piece} "})
        case "environment":
            say({"type": "delta", "text": os.environ.get(rest, "unset")})
        case "noise":
            print("not JSON at all", flush=True)
        case "error":
            say({"type": "error", "message": "The provider refused."})
        case "exit":
            sys.exit(int(rest))
        case "sleep":
            time.sleep(float(rest))
        case _:
            say({"type": "unheard_of", "word": word})


def say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


main()
