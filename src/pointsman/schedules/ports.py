"""What schedules need of those who are asked."""

from __future__ import annotations

from typing import Protocol

from pointsman.chat.schemas import ChatBody
from pointsman.kit.principal import Principal


class Subjects(Protocol):
    """Agents and teams, as far as a clock is concerned."""

    async def require(self, principal: Principal, subject_type: str, subject_id: str) -> None:
        """Raises the Problem of a subject that is not there, or of a key that may not ask it."""
        ...

    async def ask(self, principal: Principal, subject_type: str, subject_id: str, request: ChatBody, run_id: str) -> None:
        """Begin the run of this id; one that exists already has begun. Raises the Problem of whatever prevents it."""
        ...
