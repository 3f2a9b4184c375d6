"""Wires supervised runs: what a gateway accepts, and what a worker does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.agents.resolve import Catalogue
from pointsman.jobs.queue.picking import DEAD_AFTER
from pointsman.jobs.service import JobService
from pointsman.runs.replay import Replay
from pointsman.supervision.handling import Supervisor
from pointsman.supervision.service import SupervisionService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway
    from pointsman.bootstrap.worker import Worker


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


def make_supervisor(worker: Worker) -> Supervisor:
    """What handles the worker's messages about supervised runs."""
    return Supervisor(
        db=worker.db,
        models=worker.models,
        budgets=worker.budgets,
        settings=worker.settings,
        worker=worker.id,
        dead_after=DEAD_AFTER,
        cancel_job=JobService(worker.db).cancel_within,
    )
