"""Wires skills: their catalogue, and what agents have of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.agents.resolve import Catalogue
from pointsman.skills.service import SkillService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_skills(gateway: Gateway, catalogue: Catalogue) -> None:
    """Give the gateway the verbs of skills; agents that have one that changed are resolved anew."""
    gateway.provide(SkillService(gateway.db, changed=catalogue.forget_skill))
