"""The worker: everything that one process is made of that does jobs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from pointsman.bootstrap.knowledge import make_indexer
from pointsman.bootstrap.loops import Loops
from pointsman.bootstrap.opening import open_storage
from pointsman.bootstrap.supervision import make_supervisor
from pointsman.breakers.breaking import Breakers
from pointsman.budgets.metering import Budgets
from pointsman.execution.asking import asker, settled
from pointsman.execution.defaults import make_defaults
from pointsman.execution.driving import Driver
from pointsman.execution.engines import Parts, make_engine
from pointsman.execution.lending import Runners
from pointsman.execution.reaping import Reaper
from pointsman.execution.runners import make_runner
from pointsman.execution.selecting import Catalogue
from pointsman.execution.service import ENGINES, TARGETS
from pointsman.execution.watching import CANCEL_TOPIC, Watch
from pointsman.execution.workers.presence import Presence
from pointsman.jobs.outputs import Outputs
from pointsman.jobs.queue.picking import Picker
from pointsman.jobs.queue.port import Handler, MessageKind
from pointsman.jobs.queue.statements import forget_picks
from pointsman.jobs.sweeping import JobSweeper
from pointsman.jobs.writing import JobWriter
from pointsman.kit.db import Database
from pointsman.kit.egress import Egress, Trusted
from pointsman.kit.ids import new_id
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Unavailable
from pointsman.knowledge.parsing import Parser
from pointsman.llm.embedding.embedder import Embedder
from pointsman.llm.guarded import GuardedModels
from pointsman.settings import Settings

log = structlog.get_logger()

_TIDY = 60.0
_LOOK_AGAIN = 3600.0
_PICKS_KEPT = timedelta(minutes=10)


class Worker:
    """One process's parts, made by `open`, set going by `start`, ended by `close`."""

    def __init__(self, settings: Settings, dsn: str, db: Database, *, pool: str, slots: int) -> None:
        """Wire everything; nothing runs yet."""
        self.id = new_id("wrk")
        self.is_closed = False
        self.settings = settings
        self.db = db
        self.listener = Listener(dsn)
        self.loops = Loops(asyncio.Event())
        breakers = Breakers(db, self.listener, settings.breakers)
        self.models = GuardedModels(settings, breakers)
        self.embedder = Embedder.of(settings)
        self.budgets = Budgets(db, self.listener, settings.budgets.output_tokens)
        self.egress = Egress(settings.egress.allow)
        self._trusted = Trusted()
        parts = Parts(settings, db, self.models, self.budgets, self.egress, self._trusted)
        catalogue = Catalogue(db, breakers.is_shut)
        self._runners = Runners(lambda target: make_runner(target, settings))
        self._presence = Presence(db, self.id, worker_pool=pool, slots=slots)
        writer, outputs, watch = JobWriter(db, settled=settled), Outputs(db), Watch(db)
        driver = Driver(
            db,
            self.id,
            catalogue=catalogue,
            runners=self._runners,
            make_engine=lambda engine: make_engine(engine, parts),
            make_ask=asker(db, timedelta(seconds=settings.approval_ttl_seconds)),
            writer=writer,
            outputs=outputs,
            watch=watch,
            breakers=breakers,
            secrets=settings.secrets,
            pool_limits=settings.workers.pool_limits,
        )
        self._parser = Parser(settings.data_dir / "parsing")
        handlers: dict[MessageKind, Handler] = {
            "job": driver.handle,
            "supervise": make_supervisor(self).handle,
            "index": make_indexer(self, self._parser).handle,
        }
        self._picker = Picker(dsn, handlers, [pool], slots=slots)
        for topic in (ENGINES, TARGETS):
            self.listener.subscribe(topic, catalogue.forget)
        self.listener.subscribe(CANCEL_TOPIC, watch.hint)
        for name, loop in (
            ("listener", self.listener.run),
            ("jobs.claim", writer.run_claiming),
            ("jobs.finish", writer.run_finishing),
            ("jobs.output", outputs.run),
            ("jobs.watch", watch.run),
            ("jobs.reap", Reaper(db, catalogue, self._runners, pool).run),
            ("jobs.sweep", JobSweeper(db).run),
            ("queue.tidy", self._tidy),
            ("budgets.reserve", self.budgets.run),
            ("presence", self._presence.run),
            ("presence.isolation", lambda: self._look_at_isolation(catalogue, pool)),
        ):
            self.loops.add(name, loop)

    @classmethod
    async def open(cls, settings: Settings, dsn: str, *, pool: str, slots: int) -> Worker:
        """Connect to a migrated database. Raises Unavailable, KeyRingUnusable, KeyRingWrong or SettingsInvalid."""
        db, _ = await open_storage(settings, dsn)
        try:
            return cls(settings, dsn, db, pool=pool, slots=slots)
        except BaseException:
            await db.close()
            raise

    @property
    def in_hand(self) -> int:
        """Messages that are being handled."""
        return self._picker.in_hand

    async def start(self) -> None:
        """Set the loops going, and pick."""
        await make_defaults(self.db)
        self.loops.start()
        self._picker.start()

    async def close(self, *, patience: timedelta) -> None:
        """Pick nothing more, wait so long for what is in hand, hand over the rest, and let go of everything."""
        self.is_closed = True
        self._presence.draining = True
        self._picker.pause()
        try:
            await self._presence.say()
        except Unavailable:
            log.warning("presence.not_said")
        await self._picker.stop(patience)
        await self._presence.leave()
        await self.loops.stop()
        await self._runners.aclose()
        await self._parser.aclose()
        await self.models.aclose()
        if self.embedder is not None:
            await self.embedder.aclose()
        await self.egress.aclose()
        await self._trusted.aclose()
        await self.db.close()

    async def _look_at_isolation(self, catalogue: Catalogue, pool: str) -> None:
        """What keeps jobs apart on this host, for `/v2/workers`."""
        while True:
            for target in await catalogue.targets():
                if target.type == "local" and target.worker_pool == pool:
                    async with self._runners.lent(target) as runner:
                        self._presence.isolation = (await runner.probe()).isolation
            await asyncio.sleep(_LOOK_AGAIN)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY)
            async with self.db.connection() as connection:
                await forget_picks(connection, _PICKS_KEPT)
