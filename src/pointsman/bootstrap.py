"""The composition root: settings in, a gateway out. Every process that serves or maintains anything enters here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import structlog
from fastapi import APIRouter
from starlette.routing import BaseRoute

from pointsman.access import routes as access_routes
from pointsman.access.authenticate import Authenticator
from pointsman.access.limits import HourlyLimit
from pointsman.access.service import KeyService
from pointsman.agents import routes as agent_routes
from pointsman.agents.resolve import Catalogue
from pointsman.agents.service import AgentService
from pointsman.audit import routes as audit_routes
from pointsman.audit.chain import Sealer
from pointsman.audit.service import AuditService
from pointsman.budgets import routes as budget_routes
from pointsman.budgets.metering import Budgets
from pointsman.budgets.service import BudgetService
from pointsman.chat import routes as chat_routes
from pointsman.chat.journal import Journal
from pointsman.chat.service import ChatService
from pointsman.erasure import routes as erasure_routes
from pointsman.erasure.erasing import erase_batch
from pointsman.erasure.service import ErasureService
from pointsman.kit import failpoints
from pointsman.kit import log as logs
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.egress import Egress
from pointsman.kit.lasting import keep_what_is_there
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Unavailable
from pointsman.kit.telemetry import Metrics
from pointsman.llm import routes as model_routes
from pointsman.llm.models import Models
from pointsman.prompts import routes as prompt_routes
from pointsman.prompts.service import PromptService
from pointsman.retention.kinds import batches
from pointsman.retention.sweeping import Sweeper
from pointsman.runs import routes as run_routes
from pointsman.runs.deltas import DeltaWriter
from pointsman.runs.live import LiveRuns
from pointsman.runs.replay import Replay
from pointsman.runs.replicas import Heartbeat, Rescue
from pointsman.runs.service import RunService
from pointsman.sessions import routes as session_routes
from pointsman.sessions.service import MemoryService, SessionService
from pointsman.settings import Settings, SettingsInvalid
from pointsman.tools import routes as tool_routes
from pointsman.usage import cost
from pointsman.usage import routes as usage_routes
from pointsman.usage.service import UsageService
from pointsman.web.canary import knows_ring, verify_ring
from pointsman.web.streams import Flag

log = structlog.get_logger()

_HOURLY = 3600.0


class Gateway:
    """One process's parts, made by `open`, set going by `start`, ended by `close`."""

    def __init__(self, settings: Settings, dsn: str, db: Database, keyring: KeyRing) -> None:
        """Wire everything; nothing runs yet."""
        self.settings = settings
        self.db = db
        self.keyring = keyring
        self.metrics = Metrics()
        self.draining = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._listener = Listener(dsn)
        self._heartbeat = Heartbeat(dsn, settings.runs.heartbeat)
        self._models = Models(settings)
        self._budgets = Budgets(db, self._listener, settings.budgets.output_tokens)
        self._journal = Journal(db, self._budgets.owes)
        live = LiveRuns()
        self._deltas = DeltaWriter(db, live, settings.runs.flush_interval, self.metrics.events_written)
        self._egress = Egress(settings.egress.allow)
        self._authenticator = Authenticator(db, self._listener)
        self._usage = UsageService(db)
        self._sweeper = Sweeper(db, {**batches(settings.retention), "erasures": erase_batch}, deleted=self.metrics.rows_expired)
        catalogue = Catalogue(db, self._listener)
        replay = Replay(db, live)
        self._chat = ChatService(
            db=db,
            catalogue=catalogue,
            models=self._models,
            budgets=self._budgets,
            egress=self._egress,
            live=live,
            journal=self._journal,
            replay=replay,
            metrics=self.metrics,
            replica=self._heartbeat.replica,
            settings=settings.runs,
            limits=settings.limits,
        )
        self._rescue = Rescue(db, self._heartbeat, dead_after=settings.runs.dead_after, redrive=self._chat.redrive)
        self._listener.subscribe("cancel", self._chat.cancel)
        self._agents = agents = AgentService(db, self._models, changed=catalogue.forget_agent, prompt_changed=catalogue.forget_prompt)
        services: list[object] = [
            settings,
            self._authenticator,
            HourlyLimit(db),
            KeyService(db),
            PromptService(db, changed=catalogue.forget_prompt),
            agents,
            SessionService(db),
            MemoryService(db, require_agent=agents.require_agent),
            RunService(db, replay, self._rescue),
            self._usage,
            BudgetService(db, require_agent=agents.require_agent, changed=self._budgets.active.forget),
            AuditService(db),
            ErasureService(db),
            self.metrics,
            replay,
            self._models,
            self._chat,
        ]
        self.services: dict[type, object] = {type(service): service for service in services}
        self.services[Flag] = self.draining
        self.metrics.watch_pool("database", db.connections_in_use, db.connections_open)
        loop = asyncio.get_running_loop()
        self.metrics.watch_tasks(lambda: len(asyncio.all_tasks(loop)))
        self.metrics.watch_live(runs=live.__len__, streams=replay.followers)

    @classmethod
    async def open(cls, settings: Settings, dsn: str) -> Gateway:
        """Connect to a migrated database. Raises Unavailable, KeyRingUnusable or KeyRingWrong."""
        _register_secrets(settings)
        _arm(settings.failpoints)
        database = settings.database
        db = await Database.connect(dsn, pool_size=database.pool_size, statement_timeout=database.statement_timeout)
        try:
            keyring = KeyRing.open(settings.data_dir, settings.keyring.keys, make=not await knows_ring(db))
            await verify_ring(db, keyring)
        except BaseException:
            await db.close()
            raise
        return cls(settings, dsn, db, keyring)

    async def start(self) -> None:
        """Set the loops going; returns when this replica is known to the others."""
        await asyncio.to_thread(self._heartbeat.start)
        for name, loop in (
            ("listener", self._listener.run),
            ("journal.open", self._journal.run_opening),
            ("journal.enter", self._journal.run_entering),
            ("deltas", self._deltas.run),
            ("budgets.reserve", self._budgets.run),
            ("budgets.sweep", self._budgets.sweep),
            ("runs.watch", self._chat.watch),
            ("rescue", self._rescue.run),
            ("keys.last_used", self._authenticator.run),
            ("audit.seal", lambda: Sealer(self.db).run(self.draining)),
            ("retention", lambda: self._sweeper.run(self.draining)),
            ("hourly", self._every_hour),
            ("warm_up", self._warm_up),
        ):
            self._loops.append(asyncio.create_task(_kept_going(name, loop, self.draining), name=name))

    async def close(self) -> None:
        """Hand unfinished runs over, store what is pending, and let go of everything. Bounded by a few seconds."""
        self.draining.set()
        await self._chat.drain(timedelta(seconds=self.settings.drain_seconds * 0.1))
        try:
            async with asyncio.timeout(2):
                await self._deltas.flush()
                await self._authenticator.flush()
        except (TimeoutError, Unavailable):
            log.warning("close.not_everything_stored")
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.to_thread(self._heartbeat.stop)
        await self._models.aclose()
        await self._egress.aclose()
        await self.db.close()

    async def _warm_up(self) -> None:
        """Load what takes seconds to import while nobody waits for it."""
        await cost.warm_up()
        await self._models.warm(await self._agents.list_providers())
        keep_what_is_there()
        await self.draining.wait()

    async def _every_hour(self) -> None:
        while not self.draining.is_set():
            self.metrics.usage_ids_used(await self._usage.ids_used())
            await asyncio.sleep(_HOURLY)


def routers() -> list[APIRouter | BaseRoute]:
    """Every route of the product."""
    return [
        prompt_routes.router,
        agent_routes.router,
        *chat_routes.routes,
        run_routes.router,
        *run_routes.routes,
        session_routes.router,
        usage_routes.router,
        budget_routes.router,
        access_routes.router,
        audit_routes.router,
        model_routes.router,
        tool_routes.router,
        erasure_routes.router,
        *erasure_routes.routes,
    ]


async def _kept_going(name: str, loop: Any, draining: asyncio.Event) -> None:
    """Run a maintenance loop again when it broke; only its name and the error are news."""
    while not draining.is_set():
        try:
            running: Coroutine[Any, Any, None] = loop()
            await running
        except Exception:  # a maintenance loop must neither end the process nor stay dead
            log.exception("loop.broke", loop=name)
        await asyncio.sleep(1)


def _arm(specs: Sequence[str]) -> None:
    """Also where nothing is named: what an earlier gateway of this process armed ends with it."""
    try:
        failpoints.arm(specs)
    except ValueError as error:
        raise SettingsInvalid(f"POINTSMAN_FAILPOINTS: {error}", hint="docs/concepts/reliability.md lists every failpoint.") from None
    if specs:
        log.warning(
            "failpoints.armed", points=list(specs), meaning="this process fails on purpose; unset POINTSMAN_FAILPOINTS in production"
        )


def _register_secrets(settings: Settings) -> None:
    """What must never stand in a log line, wherever it comes from."""
    given = [settings.openai_api_key, settings.anthropic_api_key, settings.google_api_key, *settings.keyring.keys]
    given += [provider.api_key for provider in settings.providers.values()]
    for secret in given:
        if secret is not None:
            logs.register_secret(secret.get_secret_value())
