"""Wires engines and targets: their catalogue, what is there out of the box, probes of targets, and sandboxes for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.breakers.service import BreakerService
from pointsman.execution.lending import Runners
from pointsman.execution.ports import Health
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners import make_runner
from pointsman.execution.service import EngineService, TargetService
from pointsman.execution.serving.desk import RunnerDesk
from pointsman.execution.workers.service import WorkerService
from pointsman.settings import Settings

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_execution(gateway: Gateway) -> None:
    """Give the gateway the services of engines and targets."""

    async def probe(target: ExecutionTarget) -> Health:
        return await probe_target(target, gateway.settings)

    settings, targets = gateway.settings, TargetService(gateway.db, probe=probe)
    gateway.runner = RunnerDesk(targets, Runners(lambda target: make_runner(target, settings)), settings.runner, settings.secrets)
    gateway.provide(
        EngineService(gateway.db, require_model=gateway.models.require),
        targets,
        WorkerService(gateway.db),
        BreakerService(gateway.db),
        gateway.runner,
    )
    gateway.loops.add("runner.leases", gateway.runner.run)


async def probe_target(target: ExecutionTarget, settings: Settings) -> Health:
    """Open a runner of its own for the probe: what it sees is what a worker on this machine would see now."""
    runner = make_runner(target, settings)
    try:
        return await runner.probe()
    finally:
        await runner.aclose()
