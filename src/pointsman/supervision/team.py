"""A supervising team as a run knows it: who leads, and who may be given work; frozen when the run begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from pointsman.agents.resolve import ResolvedAgent, Snapshot
from pointsman.supervision.classification import WorkerType


class Worker(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member that jobs can be given to; `worker_config` is what each of its jobs may do, as the agent's config has it."""

    agent_id: str
    name: str
    description: str | None = None
    role: str | None = None
    worker_config: dict[str, Any] = {}


class SupervisingTeam(msgspec.Struct, frozen=True):
    """What a supervised run was resolved into; stored in `run_snapshots`, hence part of the database's contract."""

    team_id: str
    name: str
    description: str | None
    leader: ResolvedAgent
    workers: tuple[Worker, ...]


_teams = msgspec.json.Decoder(SupervisingTeam)


def snapshot_of(team: SupervisingTeam) -> Snapshot:
    """What `run_snapshots` keeps of it."""
    data = msgspec.json.encode(team, order="deterministic")
    return Snapshot(hashlib.sha256(data).hexdigest(), data)


def team_of(data: bytes) -> SupervisingTeam:
    """The team that a run began with."""
    return _teams.decode(data)


def choose_worker(workers: Sequence[Worker], kind: WorkerType) -> Worker:
    """Who does jobs of this kind: the first member whose role says so, else whose role has the word, else the first of them."""
    named = [worker for worker in workers if _words(worker.role) == _words(kind)]
    related = [worker for worker in workers if set(_words(kind)) <= set(_words(worker.role))]
    return [*named, *related, *workers][0]


def _words(role: str | None) -> tuple[str, ...]:
    return tuple((role or "").casefold().replace("-", " ").replace("_", " ").split())
