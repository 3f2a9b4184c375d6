"""What `doctor` looks at: one function for each part of a gateway, each answering with findings and their remedies."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from pointsman.cli.backup import check_ring
from pointsman.cli.configuration import read_settings
from pointsman.cli.connection import ADMIN_KEY_FILE
from pointsman.client import PointsmanClient
from pointsman.kit.crypto import RING_FILE, KeyRing
from pointsman.kit.db import AWAY, Connection, Database, connect
from pointsman.kit.embedded_pg import Finding, Level, diagnose, find_dsn
from pointsman.kit.problems import Problem
from pointsman.llm.embedding.embedder import Embedder
from pointsman.migrations import HEAD
from pointsman.migrations.state import read_state
from pointsman.settings import Settings, SettingsInvalid, variable_names
from pointsman.usage.service import UsageService
from pointsman.webhooks.notifying import load

_ROOM_WANTED = 500  # MB
_IDS_WORRYING = 0.5
_PATIENCE = timedelta(seconds=3)
_SETTINGS = SettingsInvalid.title
_VECTORS = """
SELECT to_regclass('public.knowledge_vectors') IS NOT NULL AS kept,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS version,
       (SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector') AS schema
"""


def examine(**options: Any) -> list[dict[str, str]]:
    """Every finding, as JSON has it."""
    try:
        settings = read_settings(**options)
    except SettingsInvalid as problem:
        return [_told(Finding(Level.FAIL, f"{_SETTINGS}: {problem.detail}", "Correct or unset the variable."))]
    findings = [Finding(Level.OK, "The settings can be read."), *_failpoints(settings)]
    for look in (_data_dir, _database, _providers, _channels, _address):
        findings += _guarded(look, settings)
    return [_told(finding) for finding in findings]


def is_about_settings(findings: list[dict[str, str]]) -> bool:
    """Whether a variable is unknown or has a value that cannot be used."""
    return any(finding["sentence"].startswith(f"{_SETTINGS}:") for finding in findings)


def known_settings() -> dict[str, str]:
    """Every variable and what it is for."""
    return {
        **variable_names(),
        "POINTSMAN_URL": "Where the command line finds the gateway.",
        "POINTSMAN_API_KEY": "The key that the command line shows.",
    }


def _guarded(look: Callable[[Settings], list[Finding]], settings: Settings) -> list[Finding]:
    try:
        return look(settings)
    except Problem as problem:
        return [_failure(problem)]


def _failure(problem: Problem) -> Finding:
    return Finding(Level.FAIL, f"{problem.title}: {problem.detail}", problem.hint)


def _told(finding: Finding) -> dict[str, str]:
    return {"level": finding.level.value, "sentence": finding.sentence, "remedy": finding.remedy}


def _failpoints(settings: Settings) -> list[Finding]:
    if not settings.failpoints:
        return []
    return [
        Finding(Level.WARN, "POINTSMAN_FAILPOINTS is set: the gateway fails on purpose.", "Unset it, unless reliability is being tested.")
    ]


def _data_dir(settings: Settings) -> list[Finding]:
    if settings.database.url is None:
        findings = diagnose(settings.data_dir)
    else:
        findings = [Finding(Level.OK, f"The database is the server {_shown(settings.database.url.get_secret_value())}.")]
    existing = next(step for step in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if step.exists())
    free = shutil.disk_usage(existing).free // 2**20
    if free >= _ROOM_WANTED:
        findings.append(Finding(Level.OK, f"{free // 1024} GB are free on the file system of {settings.data_dir}."))
    return [*findings, *_admin_key(settings.data_dir / ADMIN_KEY_FILE)]


def _admin_key(path: Path) -> list[Finding]:
    if not path.exists():
        return []
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return [
            Finding(Level.FAIL, f"{path} has mode {mode:04o}: others can read it.", f"chmod 600 '{path}', and `keys bootstrap --rotate`.")
        ]
    return [Finding(Level.OK, f"The admin key is in {path}, readable by its owner alone.")]


def _database(settings: Settings) -> list[Finding]:
    dsn = settings.database.url.get_secret_value() if settings.database.url else find_dsn(settings.data_dir)
    if dsn is None:
        return _ring_file(settings)
    return asyncio.run(_look_into(settings, dsn))


async def _look_into(settings: Settings, dsn: str) -> list[Finding]:
    try:
        connection = await connect(dsn, role=None)
    except (*AWAY, asyncpg.PostgresError, ValueError) as error:
        if settings.database.url is None:
            return [Finding(Level.OK, "The embedded database is not running; `pointsman up` starts it."), *_ring_file(settings)]
        remedy = "Check host, port, user, password and database in POINTSMAN_DATABASE__URL, for instance with psql."
        return [Finding(Level.FAIL, f"The database does not let us in: {error or type(error).__name__}.", remedy)]
    try:
        findings, usable = await _schema(connection)
    finally:
        await connection.close()
    if not usable:
        return [*findings, *_ring_file(settings)]
    return [*findings, *await _ring(settings, dsn), *await _usage_ids(dsn), *await _vectors(settings, dsn)]


async def _schema(connection: Connection) -> tuple[list[Finding], bool]:
    version = await connection.fetchval("SELECT current_setting('server_version')")
    findings = [Finding(Level.OK, f"The database answers (PostgreSQL {version}).")]
    try:
        state = await read_state(connection)
    except Problem as problem:
        return [*findings, _failure(problem)], False
    if state.is_current:
        return [*findings, Finding(Level.OK, f"The database is migrated (revision {HEAD}).")], True
    if state.revision is not None and state.revision > HEAD:
        sentence = f"The database is at revision {state.revision}, which this release (revision {HEAD}) does not know."
        return [*findings, Finding(Level.FAIL, sentence, "Use the release that migrated it, or a later one.")], False
    stands = "empty" if state.revision is None else f"at revision {state.revision}, or its service role is not set up"
    return [*findings, Finding(Level.FAIL, f"The database is {stands}.", "Run `pointsman migrate`; `pointsman up` does so too.")], False


async def _ring(settings: Settings, dsn: str) -> list[Finding]:
    if findings := _ring_file(settings):
        return findings
    ring = KeyRing.open(settings.data_dir, settings.keyring.keys)
    if await check_ring(dsn, ring):
        return [Finding(Level.OK, f"The key ring belongs to the database (keys: {len(ring.fingerprints())}).")]
    return [Finding(Level.OK, "The key ring can be used; the database has not met it yet.")]


def _ring_file(settings: Settings) -> list[Finding]:
    """What can be said without making a ring where there is none."""
    path = settings.data_dir / RING_FILE
    if settings.keyring.keys or path.exists():
        KeyRing.open(settings.data_dir, settings.keyring.keys)
        return []
    return [Finding(Level.WARN, f"There is no key ring in {path}.", "The first start makes one; restore it if the database has secrets.")]


async def _usage_ids(dsn: str) -> list[Finding]:
    db = await Database.connect(dsn, pool_size=2)
    try:
        used = await UsageService(db).ids_used()
    finally:
        await db.close()
    sentence = f"{used:.1%} of the numbers for rows of token_usage are used."
    if used < _IDS_WORRYING:
        return [Finding(Level.OK, sentence)]
    return [Finding(Level.WARN, sentence, "Move old rows elsewhere and restart the sequence before they run out.")]


async def _vectors(settings: Settings, dsn: str) -> list[Finding]:
    """Whether files are searched by vectors: it takes an embedder, and a database that can keep them."""
    connection = await connect(dsn, role=None)
    try:
        state = await connection.fetchrow(_VECTORS)
    finally:
        await connection.close()
    assert state is not None
    embedder = Embedder.of(settings)
    if embedder is None:
        return [Finding(Level.OK, "Knowledge is searched by text: POINTSMAN_KNOWLEDGE__EMBEDDER is not set.")]
    if state["kept"]:
        await embedder.open()
        return [Finding(Level.OK, f"Knowledge is searched by text and by vectors of {embedder.identity}.")]
    sentence = f"Knowledge is searched by text alone, though {embedder.identity} is set: "
    if state["version"] is None:
        remedy = "Install pgvector 0.7 or newer on the server, run CREATE EXTENSION vector as its superuser, then `pointsman migrate`."
        return [Finding(Level.WARN, sentence + "this database has no pgvector.", remedy)]
    remedy = "ALTER EXTENSION vector UPDATE; ALTER EXTENSION vector SET SCHEMA public; then `pointsman migrate`."
    return [Finding(Level.WARN, f"{sentence}pgvector {state['version']} lies in the schema {state['schema']}.", remedy)]


def _providers(settings: Settings) -> list[Finding]:
    keys = {
        "openai": (settings.openai_api_key, "OPENAI_API_KEY"),
        "anthropic": (settings.anthropic_api_key, "ANTHROPIC_API_KEY"),
        "google": (settings.google_api_key, "GOOGLE_API_KEY"),
    }
    own = {name: provider.api_key for name, provider in settings.providers.items()}
    ready = [name for name, (key, _) in keys.items() if key or own.get(name)]
    ready += [name for name, provider in settings.providers.items() if name not in keys and provider.base_url]
    homeless = [name for name, provider in settings.providers.items() if name not in keys and not provider.base_url]
    findings = [
        Finding(Level.FAIL, f"Provider {name} has no address.", f"Set POINTSMAN_PROVIDERS__{name.upper()}__BASE_URL.") for name in homeless
    ]
    if ready:
        return [*findings, Finding(Level.OK, f"Model providers with a key or an address: {', '.join(sorted(ready))}.")]
    variables = ", ".join(variable for _, variable in keys.values())
    return [*findings, Finding(Level.WARN, "No model provider is configured: only scripted: models work.", f"Set one of {variables}.")]


def _channels(settings: Settings) -> list[Finding]:
    senders = load([url.get_secret_value() for url in settings.notify.urls])
    return [Finding(Level.OK, f"Approvals are told over channels of yours: {len(senders)}.")] if senders else []


def _address(settings: Settings) -> list[Finding]:
    host, port = settings.host, settings.port
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [
                    Finding(Level.FAIL, f"{where} cannot be listened on: {error.strerror or error}.", "Choose another --host or --port.")
                ]
        else:
            return [Finding(Level.OK, f"{where} is free.")]
    return [_who_answers(host, port)]


def _who_answers(host: str, port: int) -> Finding:
    nearby = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what the settings may say
    with PointsmanClient(f"http://[{nearby}]:{port}" if ":" in nearby else f"http://{nearby}:{port}", timeout=_PATIENCE) as client:
        if client.is_alive():
            return Finding(Level.OK, f"A gateway answers on {host}:{port} and is {'' if client.is_ready() else 'NOT '}ready.")
    return Finding(Level.FAIL, f"Something else listens on {host}:{port}.", "Stop it, or choose another --port.")


def _shown(dsn: str) -> str:
    parts = urlsplit(dsn)
    return f"{parts.hostname or 'here'}{parts.path}"
