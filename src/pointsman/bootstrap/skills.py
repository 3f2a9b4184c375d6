"""Wires skills: their catalogue, and what agents do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.agents.resolve import Catalogue
from pointsman.bootstrap.execution import probe_target
from pointsman.execution.lending import Runners
from pointsman.execution.runners import make_runner
from pointsman.execution.service import TargetService
from pointsman.kit.db import Database
from pointsman.settings import Settings
from pointsman.skills.running import Scripts
from pointsman.skills.service import SkillService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def make_scripts(db: Database, settings: Settings) -> Scripts:
    """What runs scripts in this process; its target is looked up at each run, and opened at the first."""
    targets = TargetService(db, probe=lambda target: probe_target(target, settings))
    return Scripts(targets, Runners(lambda target: make_runner(target, settings)), settings.skills)


def provide_skills(gateway: Gateway, catalogue: Catalogue) -> None:
    """Give the gateway the verbs of skills; agents that have one that changed are resolved anew."""
    gateway.provide(SkillService(gateway.db, changed=catalogue.forget_skill))
    gateway.loops.add("skills.tidy", gateway.scripts.tidy)
