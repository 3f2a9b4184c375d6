"""What a member does, told in the stream of its team's run: who speaks, for which call, and with numbers of its own for messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pointsman.chat.driving import Drive
from pointsman.runs import events
from pointsman.runs.events import TERMINAL, Event

MESSAGES = 1000
"""Numbers that the leader's messages have at most, and those of each delegation: what is said twice under one number is one text."""

_AT_ONCE = frozenset({events.MESSAGE_DELTA, events.REASONING_DELTA, events.MESSAGE_RESET})
_OF_MESSAGES = frozenset({events.MESSAGE_DELTA, events.MESSAGE_COMPLETED})
_ENVELOPE = ("run_id", "seq", "at")


class Relay:
    """Passes on the events of one member's run, each once.

    Text leaves at once, as in the member's own stream; everything else is committed first, with the number that it has there. After a
    take-over it goes on behind the last committed one, and what had been said of a message since then is void.
    """

    def __init__(self, drive: Drive, *, member: str, call_id: str, run_id: str, first_message: int, upto: int, void: bool) -> None:
        """Go on behind the event `upto` of the run; `void` where text that came after it may have been passed on."""
        self._drive = drive
        self._who = {"member": member, "call": call_id, "member_run_id": run_id}
        self._first = first_message
        self._void = void
        self.upto = upto
        self.end: Event | None = None

    async def take(self, batch: Iterable[Event]) -> None:
        """Pass events on, in order; the one that ends the run is kept as `end`."""
        told: list[tuple[str, dict[str, Any]]] = []
        for event in batch:
            if event.type in TERMINAL:
                self.end = event
            elif event.type != events.RUN_STARTED:
                await self._pass_on(event, told)
        await self._commit(told)

    async def _pass_on(self, event: Event, told: list[tuple[str, dict[str, Any]]]) -> None:
        payload = self._payload(event)
        if self._void and event.type in _OF_MESSAGES:
            await self._drive.relay(events.MESSAGE_RESET, {**self._who, "message": payload["message"], "reason": "a replica died"})
        if event.type in _OF_MESSAGES or event.type == events.MESSAGE_RESET:
            self._void = False
        if event.type in _AT_ONCE:
            await self._commit(told)
            await self._drive.relay(event.type, payload)
            self.upto = event.seq
        else:
            told.append((event.type, {**payload, "member_seq": event.seq}))

    async def _commit(self, told: list[tuple[str, dict[str, Any]]]) -> None:
        if told:
            await self._drive.relay_committed(list(told))
            self.upto = told[-1][1]["member_seq"]
            told.clear()

    def _payload(self, event: Event) -> dict[str, Any]:
        data: dict[str, Any] = msgspec.json.decode(event.data)
        for name in _ENVELOPE:
            del data[name]
        if "message" in data:
            data["message"] += self._first
        return {**self._who, **data}


class _Relayed(msgspec.Struct):
    member_run_id: str = ""
    member_seq: int = 0


_relayed = msgspec.json.Decoder(_Relayed)


def upto_of(stored: Iterable[Event]) -> dict[str, int]:
    """How far each member's run is told in the stored events of the team's, by what was committed."""
    upto: dict[str, int] = {}
    for event in stored:
        relayed = _relayed.decode(event.data)
        if relayed.member_seq:
            upto[relayed.member_run_id] = relayed.member_seq
    return upto


def is_relayed(event: Event) -> bool:
    """Whether an event of a team's run is one of a member's."""
    return bool(_relayed.decode(event.data).member_run_id)
