"""Wires supervised runs: what a gateway accepts, and what a worker does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.agents.resolve import Catalogue
from pointsman.runs.replay import Replay
from pointsman.supervision.service import SupervisionService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_supervision(gateway: Gateway, catalogue: Catalogue, replay: Replay) -> SupervisionService:
    """Give the gateway its service, with the loop that looks for neglected runs."""
    service = SupervisionService(
        gateway.db,
        catalogue=catalogue,
        models=gateway.models,
        budgets=gateway.budgets,
        egress=gateway.egress,
        replay=replay,
        settings=gateway.settings.supervision,
    )
    gateway.provide(service)
    gateway.loops.add("supervision.sweep", service.sweep)
    return service
