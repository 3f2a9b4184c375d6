"""The gateway: everything that one serving process is made of."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from pointsman.access.authenticate import Authenticator
from pointsman.access.limits import HourlyLimit
from pointsman.access.service import KeyService
from pointsman.agents.resolve import Catalogue
from pointsman.agents.service import AgentService
from pointsman.approvals.expiring import expire
from pointsman.approvals.link_service import LinkService
from pointsman.approvals.links import PURPOSE, Signer
from pointsman.approvals.service import ApprovalService
from pointsman.audit.chain import Sealer
from pointsman.audit.service import AuditService
from pointsman.bootstrap.credentials import Credentials
from pointsman.bootstrap.execution import provide_execution
from pointsman.bootstrap.jobs import provide_jobs
from pointsman.bootstrap.knowledge import make_searcher, provide_knowledge
from pointsman.bootstrap.loops import Loops
from pointsman.bootstrap.mcp import provide_mcp
from pointsman.bootstrap.openapi_tools import provide_openapi_tools
from pointsman.bootstrap.opening import open_storage
from pointsman.bootstrap.schedules import provide_schedules
from pointsman.bootstrap.skills import make_scripts, provide_skills
from pointsman.bootstrap.supervision import provide_supervision
from pointsman.bootstrap.webhooks import Webhooks
from pointsman.budgets.metering import Budgets
from pointsman.budgets.service import BudgetService
from pointsman.chat.journal import Journal
from pointsman.chat.service import ChatService
from pointsman.chat.team_runs import TeamRuns
from pointsman.erasure.erasing import erase_batch
from pointsman.erasure.service import ErasureService
from pointsman.execution.defaults import make_defaults
from pointsman.execution.serving.desk import RunnerDesk
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.egress import Egress
from pointsman.kit.lasting import keep_what_is_there
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Unavailable
from pointsman.kit.telemetry import Metrics
from pointsman.knowledge.embedding import Embedding
from pointsman.knowledge.parsing import Parser
from pointsman.knowledge.searching import Searcher
from pointsman.llm.embedding.embedder import Embedder
from pointsman.llm.models import Models
from pointsman.prompts.service import PromptService
from pointsman.retention.kinds import batches
from pointsman.retention.sweeping import Sweeper
from pointsman.runs.deltas import DeltaWriter
from pointsman.runs.live import LiveRuns
from pointsman.runs.queries import RESUMED
from pointsman.runs.replay import Replay
from pointsman.runs.replicas import Heartbeat, Rescue
from pointsman.runs.service import RunService
from pointsman.sessions.service import MemoryService, SessionService
from pointsman.settings import Settings, SettingsInvalid
from pointsman.skills.shelf import SkillShelf
from pointsman.teams.service import TeamService
from pointsman.tools.fetching import Web
from pointsman.tools.sources import Sources
from pointsman.usage import cost
from pointsman.usage.service import UsageService
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
        self.loops = Loops(self.draining)
        self.services: dict[type, object] = {}
        self.listener = Listener(dsn)
        self._heartbeat = Heartbeat(dsn, settings.runs.heartbeat)
        self.models = Models(settings)
        self._embedder = Embedder.of(settings)
        self.budgets = Budgets(db, self.listener, settings.budgets.output_tokens)
        self._journal = Journal(db, self.budgets.owes)
        live = LiveRuns()
        self._deltas = DeltaWriter(db, live, settings.runs.flush_interval, self.metrics.events_written)
        self.runner: RunnerDesk
        self.egress = Egress(settings.egress.allow)
        self._authenticator = Authenticator(db, self.listener)
        self._usage = UsageService(db)
        self._sweeper = Sweeper(db, {**batches(settings.retention), "erasures": erase_batch}, deleted=self.metrics.rows_expired)
        catalogue = Catalogue(db, self.listener)
        replay = Replay(db, live)
        self.scripts = make_scripts(db, settings)
        self._pages = Parser(settings.data_dir / "pages")
        self.tool_sources = Sources()
        embedding = Embedding(db, self._embedder)
        searcher = make_searcher(self, embedding)
        self._chat = self._make_chat(catalogue, searcher, live, replay)
        self._rescue = Rescue(db, self._heartbeat, dead_after=settings.runs.dead_after, redrive=self._chat.redrive)
        self.listener.subscribe("cancel", self._chat.cancel)
        self.listener.subscribe(RESUMED, self._rescue.hear)
        approvals, signer = ApprovalService(db), _signer(settings, keyring)
        self.agents = agents = AgentService(
            db, self.models, sources=self.tool_sources, changed=catalogue.forget_agent, prompt_changed=catalogue.forget_prompt
        )
        teams, supervision = TeamService(db), provide_supervision(self, catalogue, replay)
        team_runs = TeamRuns(db, teams, self._chat, supervision)
        self.provide(
            settings,
            self._authenticator,
            HourlyLimit(db),
            KeyService(db),
            PromptService(db, sources=self.tool_sources, changed=catalogue.forget_prompt),
            agents,
            teams,
            team_runs,
            SessionService(db),
            MemoryService(db, require_agent=agents.require_agent),
            RunService(db, replay, self._rescue, approvals.decide_for_run, supervision),
            approvals,
            LinkService(db, signer),
            self._usage,
            BudgetService(db, require_agent=agents.require_agent, changed=self.budgets.active.forget),
            AuditService(db),
            ErasureService(db),
            self.metrics,
            replay,
            self.models,
            self.tool_sources,
            self._chat,
        )
        self._credentials = Credentials(self)
        self._apis = provide_openapi_tools(self)
        provide_execution(self)
        provide_jobs(self, replay)
        provide_skills(self, catalogue)
        provide_schedules(self, agents, teams, self._chat, team_runs)
        self._webhooks = Webhooks(self, signer)
        provide_knowledge(self, searcher, embedding)
        self._mcp = provide_mcp(self)
        self.services[Flag] = self.draining
        self._watch(live, replay)

    def _make_chat(self, catalogue: Catalogue, searcher: Searcher, live: LiveRuns, replay: Replay) -> ChatService:
        settings = self.settings
        return ChatService(
            db=self.db,
            catalogue=catalogue,
            models=self.models,
            budgets=self.budgets,
            egress=self.egress,
            shelf=SkillShelf(self.db, self.scripts),
            web=Web(self.egress, self._pages),
            sources=self.tool_sources,
            searcher=searcher,
            live=live,
            journal=self._journal,
            replay=replay,
            metrics=self.metrics,
            replica=self._heartbeat.replica,
            settings=settings.runs,
            limits=settings.limits,
            approval_ttl=timedelta(seconds=settings.approval_ttl_seconds),
        )

    @classmethod
    async def open(cls, settings: Settings, dsn: str) -> Gateway:
        """Connect to a migrated database. Raises Unavailable, KeyRingUnusable, KeyRingWrong or SettingsInvalid."""
        db, keyring = await open_storage(settings, dsn)
        try:
            return cls(settings, dsn, db, keyring)
        except BaseException:
            await db.close()
            raise

    def provide(self, *services: object) -> None:
        """Let routes ask for these, each by its class."""
        self.services.update({type(service): service for service in services})

    async def start(self) -> None:
        """Set the loops going; returns when this replica is known to the others."""
        await make_defaults(self.db)
        await self._webhooks.open()
        await asyncio.to_thread(self._heartbeat.start)
        for name, loop in (
            ("listener", self.listener.run),
            ("journal.open", self._journal.run_opening),
            ("journal.enter", self._journal.run_entering),
            ("deltas", self._deltas.run),
            ("budgets.reserve", self.budgets.run),
            ("budgets.sweep", self.budgets.sweep),
            ("runs.watch", self._chat.watch),
            ("rescue", self._rescue.run),
            ("keys.last_used", self._authenticator.run),
            ("audit.seal", lambda: Sealer(self.db).run(self.draining)),
            ("retention", lambda: self._sweeper.run(self.draining)),
            ("approvals.expire", lambda: expire(self.db, self.draining)),
            ("hourly", self._every_hour),
            ("warm_up", self._warm_up),
        ):
            self.loops.add(name, loop)
        self.loops.start()

    async def close(self) -> None:
        """Hand unfinished runs over, store what is pending, and let go of everything. Bounded by a few seconds."""
        self.draining.set()
        await self._rescue.stop()
        await self._chat.drain(timedelta(seconds=self.settings.drain_seconds * 0.1))
        try:
            async with asyncio.timeout(2):
                await self._deltas.flush()
                await self._authenticator.flush()
                await self._credentials.flush()
        except (TimeoutError, Unavailable):
            log.warning("close.not_everything_stored")
        await self.loops.stop()
        await self.runner.aclose()
        await self.scripts.aclose()
        await self._mcp.aclose()
        await self._pages.aclose()
        await asyncio.to_thread(self._heartbeat.stop)
        await self.models.aclose()
        if self._embedder is not None:
            await self._embedder.aclose()
        await self._webhooks.aclose()
        await self.egress.aclose()
        await self._apis.aclose()
        await self._credentials.aclose()
        await self.db.close()

    def _watch(self, live: LiveRuns, replay: Replay) -> None:
        """Have the metrics say how much of everything is in use."""
        self.metrics.watch_pool("database", self.db.connections_in_use, self.db.connections_open)
        loop = asyncio.get_running_loop()
        self.metrics.watch_tasks(lambda: len(asyncio.all_tasks(loop)))
        self.metrics.watch_live(runs=live.__len__, streams=replay.followers)

    async def _warm_up(self) -> None:
        """Load what takes seconds to import while nobody waits for it."""
        await cost.warm_up()
        await self.models.warm(await self.agents.list_providers())
        if self._embedder is not None:
            try:
                await self._embedder.open()
            except SettingsInvalid as problem:  # searches go on by text, and say why
                log.warning("knowledge.embedder_unusable", detail=problem.detail, hint=problem.hint)
        keep_what_is_there()
        await self.draining.wait()

    async def _every_hour(self) -> None:
        while not self.draining.is_set():
            self.metrics.usage_ids_used(await self._usage.ids_used())
            await asyncio.sleep(_HOURLY)


def _signer(settings: Settings, keyring: KeyRing) -> Signer | None:
    url = settings.approvals.links_url
    return None if url is None else Signer(keyring.derive(PURPOSE), url)
