"""Takes a job from a message to an outcome: claims it, has an engine do it, ends it; whatever happens, the sandbox is closed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from pydantic import SecretStr

from pointsman.breakers.breaking import Breakers
from pointsman.breakers.errors import CircuitOpen
from pointsman.execution.attempt import Attempt, MakeAsk, Order
from pointsman.execution.breaking import judge, subjects_of
from pointsman.execution.concluding import End, conclude
from pointsman.execution.errors import TargetFailed
from pointsman.execution.lending import Runners
from pointsman.execution.policy import allow, sandbox_spec, tightened
from pointsman.execution.ports import Engine, Outcome, Runner, SandboxSpec
from pointsman.execution.rows import ExecutionEngine, ExecutionTarget
from pointsman.execution.selecting import Catalogue
from pointsman.execution.watching import Watch
from pointsman.jobs import attempts, claiming, ending, workspaces
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.messages import number_of
from pointsman.jobs.outputs import Outputs
from pointsman.jobs.queue.port import Message
from pointsman.jobs.rows import Claim, Claimed, Lost, Waiting
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.jobs.writing import JobWriter
from pointsman.kit import json_text
from pointsman.kit.db import Connection, Database
from pointsman.kit.group_read import GroupRead
from pointsman.kit.problems import Problem, Unavailable

MakeEngine = Callable[[ExecutionEngine], Engine]

_AWAY = timedelta(seconds=1)  # after which a message comes again that could not be looked into
_REAP_WITHIN = 30.0
_STOP_WITHIN = 5.0  # what an engine that was told to end may take; its sandbox is closed then in any case

log = structlog.get_logger()


class Driver:
    """Does the jobs of one worker."""

    def __init__(
        self,
        db: Database,
        worker_id: str,
        *,
        catalogue: Catalogue,
        runners: Runners,
        make_engine: MakeEngine,
        make_ask: MakeAsk,
        writer: JobWriter,
        outputs: Outputs,
        watch: Watch,
        breakers: Breakers,
        secrets: Mapping[str, SecretStr],
        pool_limits: Mapping[str, int],
    ) -> None:
        """`make_engine` gives the engine of a row, `make_ask` how an attempt's permits are judged; `pool_limits` bound a pool's jobs."""
        self._db = db
        self._worker = worker_id
        self._catalogue = catalogue
        self._runners = runners
        self._make_engine = make_engine
        self._make_ask = make_ask
        self._writer = writer
        self._outputs = outputs
        self._watch = watch
        self._breakers = breakers
        self._secrets = secrets
        self._pool_limits = pool_limits
        self._waiting: GroupRead[uuid.UUID, Waiting] = GroupRead(db, _read_waiting)

    async def handle(self, message: Message) -> timedelta | None:
        """Do what the message's job has to be done now; after how long to come again, None when it is done with."""
        try:
            job = await self._waiting.find(uuid.UUID(message.id))
            if job is None:
                return None
            try:
                order = await self._order(job)
                await self._breakers.enter(subjects_of(order), str(job.id))
            except Unavailable:
                raise
            except Problem as problem:
                await self._refuse(job, message, problem)
                return None
        except Unavailable:
            return _AWAY
        taken = await self._writer.claim(self._claim(order, message))
        if isinstance(taken, Claimed):
            await self._attempt(order, taken)
        return None

    async def _order(self, job: Waiting) -> Order:
        """Raises the Problem that keeps it from being done anywhere, or Unavailable."""
        spec = JobSpec.model_validate_json(job.job_spec)
        worker = WorkerConfig.model_validate_json(job.worker_config) if job.worker_config else WorkerConfig()
        choice = await self._catalogue.choose(job, worker, spec)
        allowance = allow(choice.target, choice.engine, worker, spec, tenant=job.tenant_id)
        return Order(job, spec, tightened(worker, allowance), choice, allowance)

    async def _refuse(self, job: Waiting, message: Message, problem: Problem) -> None:
        reason = f"{problem.code}: {problem.detail}"
        if job.status == "queued":
            after, retry_at = ("failed_circuit_open", problem.retry_at) if isinstance(problem, CircuitOpen) else ("failed", None)
            async with self._db.transaction() as connection:
                await ending.end(connection, job.id, before="queued", after=after, reason=reason, retry_at=retry_at)
            return
        # The worker that had it is dead, and meanwhile nothing is left that could do it: its attempt ends first.
        claim = Claim(job.id, self._worker, job.engine_id or "", job.lost_on or "", "{}", message=number_of(message))
        taken = await self._writer.claim(claim)
        if isinstance(taken, Claimed):
            await self._writer.finish(conclude(taken, None, None, problem))

    def _claim(self, order: Order, message: Message) -> Claim:
        target = order.choice.target
        return Claim(
            order.job.id,
            self._worker,
            order.choice.engine.id,
            target.id,
            json_text.encode(_place(target)),
            slots=order.choice.capacity.max_concurrent_jobs,
            pool_slots=self._pool_limits.get(order.job.worker_pool),
            cap_mb=order.allowance.memory_mb,
            message=number_of(message),
        )

    async def _attempt(self, order: Order, claimed: Claimed) -> None:
        async with contextlib.AsyncExitStack() as stack:

            async def runner() -> Runner:
                return await stack.enter_async_context(self._runners.lent(order.choice.target))

            attempt = Attempt(
                order,
                claimed,
                sandbox_spec=lambda: self._sandbox_spec(order, claimed),
                runner=runner,
                find_workspace=lambda: self._find_workspace(claimed.job_id),
                tell=lambda text, stream: self._outputs.add(claimed, text, stream),
                ask=self._make_ask(order.job, order.worker),
            )
            end, outcome = await self._run(attempt)
            await _to_its_end(self._end(attempt, end, outcome))

    async def _run(self, attempt: Attempt) -> tuple[End | None, Outcome | BaseException]:
        """The engine at work, until it is done or told to end: why it was told so, and what it came to."""
        doing = asyncio.create_task(self._do(attempt), name=f"attempt {attempt.claimed.handle}")
        why: End | None = None

        def stop(end: End) -> None:
            nonlocal why
            if why is None and not doing.done():
                why = end
                doing.cancel(end)

        key = attempt.claimed.job_id, attempt.claimed.epoch
        timer = asyncio.get_running_loop().call_later(attempt.claimed.seconds, stop, "timeout")
        self._watch.add(key, stop)
        if attempt.claimed.cancel_requested:
            stop("cancelled")
        try:
            await asyncio.wait((doing,))
        except asyncio.CancelledError:  # this worker is being stopped
            stop("handed_over")
            await asyncio.wait((doing,), timeout=_STOP_WITHIN)
        finally:
            timer.cancel()
            self._watch.remove(key)
        return why, _came_to(doing)

    async def _do(self, attempt: Attempt) -> Outcome:
        if attempt.claimed.lost is not None:
            await self._reap(attempt.claimed.lost)
        return await self._make_engine(attempt.order.choice.engine).run(attempt)

    async def _reap(self, lost: Lost) -> None:
        """Nothing of an attempt that was lost may act beside the one that follows it. Raises TargetFailed."""
        target = await self._catalogue.find_target(lost.target_id)
        if target is None:
            return
        try:
            async with asyncio.timeout(_REAP_WITHIN), self._runners.lent(target) as runner:
                await runner.reap(lost.handle)
        except TimeoutError:
            raise TargetFailed(f"What attempt {lost.epoch} left on {target.id} could not be removed within {_REAP_WITHIN:g} s.") from None

    async def _end(self, attempt: Attempt, end: End | None, outcome: Outcome | BaseException) -> None:
        claimed = attempt.claimed
        if end is None and isinstance(outcome, BaseException) and await self._is_lost(claimed):
            end = "gone"  # whoever has the job now has removed the sandbox: that is no failure of the target
        left = await self._left(attempt, outcome) if end is None else None
        try:
            await attempt.close()
        except (Problem, TimeoutError) as error:
            log.warning("sandbox.not_closed", handle=claimed.handle, error=str(error) or "it took too long")
        if end is None and isinstance(outcome, TargetFailed):
            self._catalogue.avoid(claimed.target_id)
        await self._outputs.finish(claimed)
        if end is None:
            outcome = await judge(self._breakers, attempt, outcome)
        if end == "gone":
            log.info("attempt.fenced", handle=claimed.handle)
            return
        if not await self._writer.finish(conclude(claimed, attempt, end, outcome, left)):
            log.info("attempt.fenced", handle=claimed.handle)

    async def _is_lost(self, claimed: Claimed) -> bool:
        """Whether the job is another attempt's by now."""
        try:
            async with self._db.connection() as connection:
                return not await attempts.find_running(connection, [(claimed.job_id, claimed.epoch)])
        except Unavailable:
            return False

    async def _left(self, attempt: Attempt, outcome: Outcome | BaseException) -> bytes | None:
        """The files that the work says it has changed."""
        changed: Sequence[str] = () if isinstance(outcome, BaseException) else getattr(outcome, "result", {}).get("files_changed", ())
        if attempt.opened is None or not changed:
            return None
        try:
            return await attempt.opened.download(list(changed))
        except Problem as problem:
            log.warning("workspace.not_kept", handle=attempt.claimed.handle, error=problem.detail)
            return None

    def _sandbox_spec(self, order: Order, claimed: Claimed) -> SandboxSpec:
        """With the job and the attempt in the environment, so that what it does elsewhere can be told apart from another attempt's."""
        spec = sandbox_spec(order.allowance, claimed.handle, claimed.memory_mb, self._secrets)
        return dataclasses.replace(spec, env={**spec.env, "JOB_ID": str(claimed.job_id), "JOB_ATTEMPT": str(claimed.epoch)})

    async def _find_workspace(self, job_id: uuid.UUID) -> bytes | None:
        async with self._db.connection() as connection:
            return await workspaces.find_start(connection, job_id)


def _place(target: ExecutionTarget) -> dict[str, Any]:
    place = {"id": target.id, "name": target.name, "type": target.type, "worker_pool": target.worker_pool}
    return place | ({"isolation": "none"} if target.connection_config.get("isolation") == "none" else {})


def _came_to(doing: asyncio.Task[Outcome]) -> Outcome | BaseException:
    if not doing.done():
        return TimeoutError()
    if doing.cancelled():
        return asyncio.CancelledError()
    return doing.exception() or doing.result()


async def _to_its_end(ending: Coroutine[Any, Any, None]) -> None:
    """Whoever stops a worker must not keep it from handing over what it has."""
    task = asyncio.create_task(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


async def _read_waiting(connection: Connection, ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Waiting]:
    return {job.id: job for job in await claiming.find_waiting(connection, ids)}
