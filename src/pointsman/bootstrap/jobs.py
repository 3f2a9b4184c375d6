"""Wires the verbs of jobs; whatever runs them is the worker's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.jobs.following import JobReplay
from pointsman.jobs.service import JobService
from pointsman.runs.replay import Replay

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_jobs(gateway: Gateway, replay: Replay) -> None:
    """Give the gateway the services of jobs."""
    gateway.provide(JobService(gateway.db), JobReplay(gateway.db, replay))
