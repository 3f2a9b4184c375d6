"""How a run sounds in a terminal: its text as it comes, its tools, its tokens, and what a restart took back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from pointsman.cli.output import plain, say, style
from pointsman.cli.working import told_of
from pointsman.client import Event, ProblemResponse, Transcript

_BAD_GATEWAY = 502
_LONGEST = 160  # letters of one argument of a call: enough to know it by
_SPOKEN = frozenset({"message.delta", "message.completed", "message.reset", "tool.called", "tool.completed"})


class Speaker:
    """Prints the events of one run. Through a pipe only whole messages are printed, since what was printed cannot be taken back."""

    def __init__(self, *, live: bool | None = None, talk: Callable[[str], None] = say) -> None:
        """Unless `live` says so, text is printed as it comes on a terminal only; `talk` takes what is not text."""
        self.transcript = Transcript()
        self.run_id: str | None = None
        self.failure: ProblemResponse | None = None
        self._live = sys.stdout.isatty() if live is None else live
        self._talk = talk
        self._open = False

    def take(self, event: Event, *, silent: bool = False) -> None:
        """Print what an event adds; with `silent` only remember it."""
        self.run_id = event.data.get("run_id", self.run_id)
        added = self.transcript.take(event)
        if event.name == "run.failed":
            self.failure = ProblemResponse(_BAD_GATEWAY, event.data["error"])
        if silent:
            return
        if "member" in event.data and event.name in _SPOKEN:
            self._print_member(event)
        else:
            self._print(event, added)

    def end(self) -> None:
        """End the line that is open."""
        if self._open:
            self._write("\n")
            self._open = False

    def _print(self, event: Event, added: str) -> None:
        data = event.data
        if (work := told_of(event)) is not None:
            self.end()
            self._talk(style(work, "dim"))
            return
        match event.name:
            case "message.delta" if self._live:
                self._write(added)
                self._open = True
            case "message.completed":
                if not self._live:
                    self._write(data["text"])
                self._open = True
                self.end()
            case "message.reset":
                self.end()
                self._talk(style("(the model begins this message again)", "dim"))
            case "tool.called":
                self.end()
                self._talk(style(f"→ {call_of(data)}", "dim"))
            case "run.completed":
                self.end()
                usage = data["usage"]
                cost = "" if not usage["cost"] else f", ${usage['cost']:.6f}"
                self._talk(style(f"[{data['model']}: {usage['prompt_tokens']} + {usage['completion_tokens']} tokens{cost}]", "dim"))
            case "run.failed" | "run.cancelled":
                self.end()
                self._talk(style(f"[{event.name} {self.run_id}]", "dim"))
            case _:
                pass

    def _print_member(self, event: Event) -> None:
        """Members speak at the same time: what they say is printed whole, and beside the answer."""
        if event.name in {"message.completed", "tool.called"}:
            self.end()
            said = str(event.data["text"]).strip() if event.name == "message.completed" else f"→ {call_of(event.data)}"
            self._talk(style(f"  {event.data['member']}: {said}", "dim"))

    def _write(self, text: str) -> None:
        sys.stdout.write(plain(text, sys.stdout))
        sys.stdout.flush()


def call_of(data: Mapping[str, Any]) -> str:
    """What a `tool.called` event says, as a call; a model may have written arguments that are no JSON."""
    try:
        arguments: Any = json.loads(data["args"] or "{}") if isinstance(data["args"], str) else data["args"]
    except ValueError:
        arguments = data["args"]
    if not isinstance(arguments, dict):
        return f"{data['name']}({arguments})"
    named = cast("dict[str, Any]", arguments)
    return f"{data['name']}({', '.join(f'{name}={_shown(value)}' for name, value in named.items())})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… {len(text)} letters"
