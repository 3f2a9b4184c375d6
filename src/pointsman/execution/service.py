"""The verbs of engines and targets, each one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pointsman.audit.service import record
from pointsman.execution import queries
from pointsman.execution.configs import closest, stored
from pointsman.execution.connections import read_capacity, read_connection
from pointsman.execution.errors import EngineExists, EngineNotFound, OperatorOnly, TargetExists, TargetNotFound
from pointsman.execution.handlers import BuiltinAgent, read_handler
from pointsman.execution.ports import Health
from pointsman.execution.rows import EngineType, ExecutionEngine, ExecutionTarget, TargetType
from pointsman.execution.schemas import EngineCreate, EnginePatch, EngineRead, TargetCreate, TargetPatch, TargetRead
from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import new_id
from pointsman.kit.merge_patch import merge_patch
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, Problem
from pointsman.web.paging import Page, decode_cursor, page_of

ENGINES = "engines"
TARGETS = "targets"

RequireModel = Callable[[str], object]
Probe = Callable[[ExecutionTarget], Awaitable[Health]]


class EngineService:
    """Engines as data. `require_model` raises the Problem of a model that does not exist here."""

    def __init__(self, db: Database, *, require_model: RequireModel) -> None:
        self._db = db
        self._require_model = require_model

    async def create_engine(self, principal: Principal, body: EngineCreate) -> ExecutionEngine:
        """The new engine; a deleted one comes back as it is now described. Raises EngineExists, OperatorOnly, InvalidRequest."""
        _require_operator(principal)
        engine_id = body.id or new_id("eng")
        values: dict[str, Any] = body.model_dump(exclude={"id"}) | {"handler_config": self._checked(body.type, body.handler_config)}
        async with self._db.transaction() as connection:
            await queries.lock_changes(connection)
            old = await queries.lock_engine(connection, engine_id)
            if old is not None and old.is_active:
                raise EngineExists(
                    f"An active engine has the id {engine_id}.", hint=f"Choose another id, or change it with PATCH /v2/engines/{engine_id}."
                )
            if body.is_default:
                await _dethrone(connection, principal)
            if old is None:
                engine = await queries.insert_engine(connection, engine_id, **values)
                assert engine is not None
            else:
                engine = await queries.update_engine(connection, msgspec.structs.replace(old, **values, is_active=True))
            await _announce(connection, principal, "engine.created" if old is None else "engine.restored", engine, {"type": engine.type})
        return engine

    async def require_engine(self, engine_id: str) -> ExecutionEngine:
        """An active engine. Raises EngineNotFound."""
        async with self._db.connection() as connection:
            return await require_engine(connection, engine_id)

    async def list_engines(
        self, *, kind: EngineType | None = None, include_inactive: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[EngineRead]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_engines(
                connection, kind=kind, include_inactive=include_inactive, after=key[0] if key else None, limit=limit + 1
            )
        return page_of(rows, limit, EngineRead.model_validate, lambda engine: (engine.id,))

    async def update_engine(self, principal: Principal, engine_id: str, patch: EnginePatch) -> ExecutionEngine:
        """The engine as changed. Raises EngineNotFound, OperatorOnly, InvalidRequest."""
        _require_operator(principal)
        async with self._db.transaction() as connection:
            await queries.lock_changes(connection)
            engine = await _lock_engine(connection, engine_id)
            changes = self._changes(engine, patch)
            if not changes:
                return engine
            if changes.get("is_default"):
                await _dethrone(connection, principal)
            engine = await queries.update_engine(connection, msgspec.structs.replace(engine, **changes))
            await _announce(connection, principal, "engine.updated", engine, {"fields": sorted(changes)})
        return engine

    async def delete_engine(self, principal: Principal, engine_id: str) -> None:
        """Deleted softly, and no longer the default; again is fine. Raises EngineNotFound, OperatorOnly."""
        _require_operator(principal)
        async with self._db.transaction() as connection:
            await queries.lock_changes(connection)
            engine = await queries.lock_engine(connection, engine_id)
            if engine is None:
                raise await _no_engine(connection, engine_id)
            if engine.is_active:
                await queries.update_engine(connection, msgspec.structs.replace(engine, is_active=False, is_default=False))
                await _announce(connection, principal, "engine.deleted", engine, {})

    def _changes(self, engine: ExecutionEngine, patch: EnginePatch) -> dict[str, Any]:
        values: dict[str, Any] = {name: getattr(patch, name) for name in patch.model_fields_set}
        if "handler_config" in values:
            values["handler_config"] = self._checked(engine.type, merge_patch(engine.handler_config, values["handler_config"]))
        return {name: value for name, value in values.items() if value != getattr(engine, name)}

    def _checked(self, kind: EngineType, raw: dict[str, Any]) -> dict[str, Any]:
        """The config as it is kept. Raises InvalidRequest, and the Problem of a model that does not exist."""
        handler = read_handler(kind, raw)
        if isinstance(handler, BuiltinAgent):
            models = [("/handler_config/model", handler.model)]
            models += [(f"/handler_config/model_fallbacks/{index}", model) for index, model in enumerate(handler.model_fallbacks)]
            for pointer, model in models:
                if model is not None:
                    self._require(model, pointer)
            # A script is read back as it was written: its many defaults would bury it.
            script = {} if handler.script is None else {"script": handler.script.model_dump(mode="json", exclude_unset=True)}
            return stored(handler) | script
        return stored(handler)

    def _require(self, model: str, pointer: str) -> None:
        try:
            self._require_model(model)
        except Problem as problem:
            problem.errors = problem.errors or (FieldError(pointer, problem.detail),)
            raise


class TargetService:
    """Targets as data, and what a probe of one sees now."""

    def __init__(self, db: Database, *, probe: Probe) -> None:
        self._db = db
        self._probe = probe

    async def create_target(self, principal: Principal, body: TargetCreate) -> ExecutionTarget:
        """The new target; a deleted one comes back as it is now described. Raises TargetExists, OperatorOnly, InvalidRequest."""
        _require_operator(principal)
        target_id = body.id or new_id("tgt")
        values: dict[str, Any] = body.model_dump(exclude={"id"}) | {
            "connection_config": stored(read_connection(body.type, body.connection_config))
        }
        async with self._db.transaction() as connection:
            target, action = await queries.insert_target(connection, target_id, **values), "target.created"
            if target is None:
                old = await queries.lock_target(connection, target_id)
                if old is None or old.is_active:
                    raise TargetExists(
                        f"An active target has the id {target_id}.",
                        hint=f"Choose another id, or change it with PATCH /v2/targets/{target_id}.",
                    )
                target = await queries.update_target(connection, msgspec.structs.replace(old, **values, is_active=True))
                action = "target.restored"
            await _announce(connection, principal, action, target, {"type": target.type})
        return target

    async def require_target(self, target_id: str) -> ExecutionTarget:
        """An active target. Raises TargetNotFound."""
        async with self._db.connection() as connection:
            return await require_target(connection, target_id)

    async def list_targets(
        self,
        principal: Principal,
        *,
        kind: TargetType | None = None,
        worker_pool: str | None = None,
        include_inactive: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[TargetRead]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_targets(
                connection,
                kind=kind,
                worker_pool=worker_pool,
                include_inactive=include_inactive,
                after=key[0] if key else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda target: TargetRead.of(target, principal), lambda target: (target.id,))

    async def update_target(self, principal: Principal, target_id: str, patch: TargetPatch) -> ExecutionTarget:
        """The target as changed; jobs that run go on as they began. Raises TargetNotFound, OperatorOnly, InvalidRequest."""
        _require_operator(principal)
        async with self._db.transaction() as connection:
            target = await queries.lock_target(connection, target_id)
            if target is None or not target.is_active:
                raise await _no_target(connection, target_id)
            changes = _target_changes(target, patch)
            if not changes:
                return target
            target = await queries.update_target(connection, msgspec.structs.replace(target, **changes))
            await _announce(connection, principal, "target.updated", target, {"fields": sorted(changes)})
        return target

    async def delete_target(self, principal: Principal, target_id: str) -> None:
        """Deleted softly: no further job goes there. Again is fine. Raises TargetNotFound, OperatorOnly."""
        _require_operator(principal)
        async with self._db.transaction() as connection:
            target = await queries.lock_target(connection, target_id)
            if target is None:
                raise await _no_target(connection, target_id)
            if target.is_active:
                await queries.update_target(connection, msgspec.structs.replace(target, is_active=False))
                await _announce(connection, principal, "target.deleted", target, {})

    async def check_target(self, target_id: str) -> Health:
        """Really use the target, and say how that went. Raises TargetNotFound."""
        return await self._probe(await self.require_target(target_id))


async def require_engine(connection: Connection, engine_id: str) -> ExecutionEngine:
    """An active engine. Raises EngineNotFound, with the one that was probably meant."""
    engine = await queries.find_engine(connection, engine_id)
    if engine is None:
        raise await _no_engine(connection, engine_id)
    return engine


async def require_target(connection: Connection, target_id: str) -> ExecutionTarget:
    """An active target. Raises TargetNotFound, with the one that was probably meant."""
    target = await queries.find_target(connection, target_id)
    if target is None:
        raise await _no_target(connection, target_id)
    return target


async def _lock_engine(connection: Connection, engine_id: str) -> ExecutionEngine:
    engine = await queries.lock_engine(connection, engine_id)
    if engine is None or not engine.is_active:
        raise await _no_engine(connection, engine_id)
    return engine


async def _dethrone(connection: Connection, principal: Principal) -> None:
    """At most one engine is the default: whoever makes another one it means that."""
    former = await queries.find_default_engine(connection)
    if former is not None:
        await queries.update_engine(connection, msgspec.structs.replace(former, is_default=False))
        await _announce(connection, principal, "engine.updated", former, {"fields": ["is_default"]})


async def _announce(
    connection: Connection, principal: Principal, action: str, changed: ExecutionEngine | ExecutionTarget, detail: dict[str, Any]
) -> None:
    await record(connection, principal, action, action.partition(".")[0], changed.id, detail)
    await notify(connection, ENGINES if isinstance(changed, ExecutionEngine) else TARGETS, changed.id)


def _target_changes(target: ExecutionTarget, patch: TargetPatch) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(patch, name) for name in patch.model_fields_set}
    if "connection_config" in values:
        merged = merge_patch(target.connection_config, values["connection_config"])
        values["connection_config"] = stored(read_connection(target.type, merged))
    if "capacity" in values:
        values["capacity"] = stored(read_capacity(merge_patch(target.capacity, values["capacity"])))
    return {name: value for name, value in values.items() if value != getattr(target, name)}


def _require_operator(principal: Principal) -> None:
    if not principal.is_operator:
        raise OperatorOnly("This key belongs to a tenant.", hint="Use a key without owner_id: an operator's.")


async def _no_engine(connection: Connection, engine_id: str) -> EngineNotFound:
    known = await queries.list_engines(connection, kind=None, include_inactive=False, after=None, limit=50)
    return EngineNotFound(f"There is no active engine {engine_id!r}.", hint=closest(engine_id, [engine.id for engine in known]))


async def _no_target(connection: Connection, target_id: str) -> TargetNotFound:
    known = await queries.list_targets(connection, kind=None, worker_pool=None, include_inactive=False, after=None, limit=50)
    return TargetNotFound(f"There is no active target {target_id!r}.", hint=closest(target_id, [target.id for target in known]))
