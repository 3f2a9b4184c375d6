"""The one frozen tree of settings, read once from the environment; a name nobody knows is refused, secrets are never shown."""

from __future__ import annotations

import difflib
import json
import os
import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pydantic
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pointsman.kit.problems import Kind, Problem

PREFIX = "POINTSMAN_"
# Providers without an address of the operator's; every other name needs one.
BUILT_IN = ("openai", "openai_responses", "anthropic", "google", "scripted")
_LONGEST = timedelta(days=7)
_SHORTEST_KEPT = timedelta(days=1)  # answers to an Idempotency-Key are replayed from runs and their events for a day
_LONGEST_KEPT = timedelta(days=36_500)
_LONGEST_TTL = 365 * 86_400.0
_ADDRESS = r"^https?://[^\s#]+$"
_CLIENT_ONLY = {"POINTSMAN_URL", "POINTSMAN_API_KEY"}


class SettingsInvalid(Problem):
    """A setting in the environment is unknown or has a value that cannot be used; the detail names it.

    Correct the variable and start again. Every setting is listed in the reference with its type and default.
    """

    kind = Kind.INVALID
    code = "settings-invalid"
    title = "The settings are not valid"


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/pointsman`, else `~/.local/share/pointsman`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "pointsman"


def _seconds(value: object) -> object:
    """A plain number is seconds; everything else is pydantic's to read (ISO 8601, HH:MM:SS)."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _sensible(value: timedelta) -> timedelta:
    if not timedelta() < value <= _LONGEST:
        raise ValueError(f"A duration must be above 0 and at most {_LONGEST.days} days.")
    return value


def _time_kept(value: timedelta) -> timedelta:
    if value and not _SHORTEST_KEPT <= value <= _LONGEST_KEPT:
        raise ValueError(f"Rows are kept for 1 to {_LONGEST_KEPT.days} days; 0 keeps them for ever.")
    return value


def _json_list(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('This is not a JSON array, such as ["one", "two"].') from None


def _json_object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('This is not a JSON object, such as {"NAME": "value"}.') from None


Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_sensible)]
Kept = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_time_kept)]
# Without NoDecode a text that is not JSON would fail before it can be said which variable holds it.
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_json_list)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_json_list)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    """Where PostgreSQL is; without a URL an embedded server is used."""

    url: SecretStr | None = Field(default=None, description="DSN of a PostgreSQL 16+ server; unset: the embedded server.")
    pool_size: int = Field(default=10, ge=2, le=200, description="Connections in the pool of a process.")
    statement_timeout: Duration = Field(default=timedelta(seconds=30), description="Longest statement.")


class LimitSettings(_Section):
    """Bounds that keep the gateway alive; beyond them a request is answered 413, 429 or 503."""

    body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest request body in bytes.")
    chat_body_bytes: int = Field(default=20_971_520, ge=1024, description="Largest chat body in bytes, attachments included.")
    upload_bytes: int = Field(default=268_435_456, ge=1024, description="Largest file of knowledge in bytes.")
    json_depth: int = Field(default=64, ge=8, le=500, description="Deepest nesting of arrays and objects in a JSON body.")
    bodies_bytes: int = Field(default=268_435_456, ge=1024, description="Bytes of all request bodies that one process holds at once.")
    live_runs: int = Field(default=2000, ge=1, description="Runs that one process drives at the same time.")
    streams: int = Field(default=2000, ge=1, description="Event streams that one process serves at the same time.")
    connections: int = Field(default=4000, ge=1, description="HTTP requests under way in one process.")
    tenant_share: float = Field(default=0.8, gt=0, le=1, description="Part of a process's requests and runs that one tenant may have.")


class RunSettings(_Section):
    """How runs are kept, watched and taken over."""

    flush_interval: Duration = Field(default=timedelta(milliseconds=50), description="How long deltas may wait to be stored.")
    heartbeat: Duration = Field(default=timedelta(seconds=1), description="How often a replica says that it is alive.")
    dead_after: Duration = Field(default=timedelta(seconds=6), description="Silence after which a replica's runs are taken over.")
    max_duration: Duration = Field(default=timedelta(minutes=15), description="Longest run, model calls and tools together.")
    max_steps: int = Field(default=32, ge=1, description="Most model calls in one turn.")
    max_redrives: int = Field(default=5, ge=1, description="How often a run is taken over before it is failed.")

    @model_validator(mode="after")
    def _a_slow_beat_is_no_death(self) -> RunSettings:
        if self.dead_after < 3 * self.heartbeat:
            raise ValueError("POINTSMAN_RUNS__DEAD_AFTER must be at least three times POINTSMAN_RUNS__HEARTBEAT.")
        return self


class SupervisionSettings(_Section):
    """How supervised runs are bounded, and when their jobs ask a person first."""

    max_jobs: int = Field(default=8, ge=1, le=64, description="Most jobs that one plan of a supervised run may come to.")
    live_runs: int = Field(default=200, ge=1, description="Supervised runs of one tenant that have not ended.")
    max_duration: Duration = Field(
        default=timedelta(days=3), description="Longest supervised run, jobs and the wait for approvals together."
    )
    ask_at_risk: Literal["low", "medium", "high", "never"] = Field(
        default="high", description="From which risk on the jobs of a supervised run ask a person before they act."
    )


class BudgetSettings(_Section):
    """How much is reserved of budgets."""

    output_tokens: int = Field(
        default=4096, ge=16, le=10_000_000, description="Output tokens of a call within a budget that sets no `max_tokens`."
    )


class UpstreamLimits(_Section):
    """The four time limits and the bulkhead of one model provider."""

    connect: Duration = Field(default=timedelta(seconds=4), description="Longest time to open a connection.")
    first_byte: Duration = Field(default=timedelta(seconds=60), description="Longest silence before the answer begins.")
    idle: Duration = Field(default=timedelta(seconds=30), description="Longest silence within a streamed answer.")
    total: Duration = Field(default=timedelta(minutes=10), description="Longest model call.")
    retries: int = Field(default=2, ge=0, le=10, description="Further attempts after a failure that may pass, before any output.")
    concurrency: int = Field(default=1000, ge=1, description="Calls under way to this provider from one process.")


class ProviderSettings(UpstreamLimits):
    """A model provider; any name in `POINTSMAN_PROVIDERS__<NAME>__BASE_URL` becomes `<name>:model`."""

    api_key: SecretStr | None = Field(default=None, description="The provider's key.")
    base_url: str | None = Field(default=None, description="Where its API is; unset: the provider's public address.")
    context_images: bool = Field(default=True, description="Whether models of this provider take images.")
    context_pdf: bool = Field(default=False, description="Whether models of this provider take PDF documents.")
    proxy: SecretStr | None = Field(
        default=None, description="HTTP proxy for its calls, `http://host:port` or with `user:password@` before the host; unset: none."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that sign its certificate, beside the public ones; unset: only those."
    )

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            try:
                parts = urlsplit(proxy.get_secret_value())
                usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("A proxy is written http://host:port, with user:password@ before the host where it asks for them.")
        return proxy

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, ca_file: Path | None) -> Path | None:
        if ca_file is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
            except OSError as error:
                reason = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
                raise ValueError(f"{ca_file} cannot be used: {reason}.") from None
        return ca_file

    def proxy_url(self) -> str | None:
        """The proxy with its credentials."""
        return self.proxy.get_secret_value() if self.proxy is not None else None


class WorkerSettings(_Section):
    """How a process does jobs."""

    slots: int = Field(
        default=64, ge=1, le=10_000, description="Jobs that one worker has in hand at once; targets have limits of their own."
    )
    pool_limits: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict[str, int],
        description="Jobs of a pool at once, over all its targets and workers, as a JSON object; the same for each worker.",
    )


class RunnerSettings(_Section):
    """Which targets of this gateway another Pointsman may use, with an operator's key that has the scope `runner:use`."""

    targets: Texts = Field(default=(), description="Ids of targets, as a JSON array; unset: none.")
    lease: Duration = Field(default=timedelta(seconds=30), description="Silence of its caller after which an idle sandbox is closed.")


class SkillSettings(_Section):
    """Where and within which bounds scripts of skills run."""

    target: str = Field(default="local", description="Id of the target; on one that keeps nothing apart no script is run.")
    script_timeout: Duration = Field(default=timedelta(seconds=30), description="Longest script.")
    script_memory_mb: int = Field(default=256, ge=16, le=65_536, description="Most memory of a script in MB (2^20 bytes).")
    script_output_bytes: int = Field(
        default=32_768, ge=256, le=4_194_304, description="Most that a model is given of what a script prints, for each stream."
    )
    concurrent_scripts: int = Field(default=4, ge=1, le=256, description="Scripts that one process runs at the same time.")


class StdioServerSettings(_Section):
    """An MCP server that is a program of this machine: it runs in a sandbox without a network, and sees the folders named here."""

    command: str = Field(min_length=1, description="The program, with its path or to be found in `/usr/local/bin:/usr/bin:/bin`.")
    args: Texts = Field(default=(), description="Its arguments, as a JSON array.")
    env: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json_object)] = Field(
        default_factory=dict[str, SecretStr], description="Its whole environment besides PATH and HOME, as a JSON object."
    )
    folders: Texts = Field(
        default=(), description="Folders that it may read, at the same path inside, as a JSON array; those of /usr it sees anyway."
    )
    description: str | None = Field(default=None, max_length=10_000, description="What it is for, told to who lists servers.")
    memory_mb: int = Field(default=512, ge=16, le=65_536, description="Most memory of it and its children in MB (2^20 bytes).")
    connect_seconds: float = Field(default=20.0, ge=0.1, le=60, description="Longest start, in seconds.")
    call_seconds: float = Field(default=30.0, ge=0.1, le=60, description="Longest call, in seconds.")


class McpSettings(_Section):
    """How MCP servers are used, and those that are programs of this machine."""

    connections: int = Field(default=256, ge=1, le=10_000, description="Sessions with servers that one process holds open.")
    processes: int = Field(default=16, ge=1, le=1000, description="Servers with a command that run for one process at the same time.")
    idle: Duration = Field(default=timedelta(minutes=5), description="How long a session without calls stays open.")
    concurrent_calls: int = Field(default=8, ge=1, le=1000, description="Calls at once in one session.")
    tools: int = Field(default=128, ge=1, le=2000, description="Most tools that a server may offer.")
    schema_bytes: int = Field(default=524_288, ge=1024, description="Most bytes of a server's tools: names, descriptions and schemas.")
    result_bytes: int = Field(default=65_536, ge=256, le=4_194_304, description="Most that a model is given of a result, in bytes.")
    answer_bytes: int = Field(default=4_194_304, ge=65_536, description="Largest message from a server, in bytes.")
    stdio: dict[str, StdioServerSettings] = Field(
        default_factory=dict[str, StdioServerSettings], description="Servers with a command, by their id in lower case."
    )


class RetentionSettings(_Section):
    """How long ended work is kept, 1 day at least (`30d`, `P30D` or seconds); 0 keeps it for ever."""

    events: Kept = Field(
        default=timedelta(days=30), description="Events of runs and jobs, from their end; they go with their run or job at the latest."
    )
    runs: Kept = Field(default=timedelta(days=90), description="Runs, from their end; the messages stay in their session.")
    jobs: Kept = Field(default=timedelta(days=90), description="Jobs, from their end; their events and files go with `events`.")
    sessions: Kept = Field(default=timedelta(), description="Sessions with all that belongs to them, from their last turn.")
    usage: Kept = Field(default=timedelta(), description="Usage of model calls.")
    webhooks: Kept = Field(default=timedelta(days=30), description="Deliveries of webhooks and notifications, from when they were written.")
    token_uses: Kept = Field(default=timedelta(days=90), description="Records of which run and tool used a user's credential.")


class ApprovalSettings(_Section):
    """How people are asked."""

    links_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="Where people reach this gateway (`https://…`): enables signed links that decide without a key.",
    )


class KnowledgeSettings(_Section):
    """Where files of knowledge are kept and may come from, and what reading one may take."""

    store: str | None = Field(
        default=None,
        pattern=r"^(file:///|s3://|gs://|az://)[^\s?#]+$",
        description="Where files are kept: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`; "
        "unset: `DATA_DIR/objects`.",
    )
    store_options: dict[str, SecretStr] = Field(
        default_factory=dict[str, SecretStr],
        description="Credentials and endpoint of that store, as a JSON object of obstore's names, such as `access_key_id`.",
    )
    sources: dict[str, dict[str, SecretStr]] = Field(
        default_factory=dict[str, dict[str, SecretStr]],
        description="Stores that files may be taken from by URI, as a JSON object: a URI that all begin with, to the options of its store.",
    )
    file_roots: Texts = Field(default=(), description="Folders below which `file://` URIs may be taken, as a JSON array; unset: none.")
    parse_memory_mb: int = Field(default=512, ge=64, le=65_536, description="Memory for reading one file, in MB.")
    parse_seconds: int = Field(
        default=60, ge=1, le=3600, description="Processor time for reading one file, in seconds; twice that by the clock."
    )
    text_mb: int = Field(default=32, ge=1, le=1024, description="Text that one file may hold, in MB.")
    embedder: str | None = Field(
        default=None,
        min_length=3,
        max_length=200,
        description="What makes vectors for the search: `provider:model`, `local:/folder` or `scripted:words`; unset: by text alone.",
    )
    embedder_dimensions: int | None = Field(
        default=None, ge=8, le=4000, description="Dimensions that the embedder is asked for; unset: the model's own."
    )
    embedder_batch: int = Field(default=64, ge=1, le=2048, description="Most texts in one request to the embedder.")
    reranker: str | None = Field(
        default=None,
        min_length=3,
        max_length=200,
        description="Model (`provider:model`) that orders what was found anew where a search asks for it; unset: such a search is refused.",
    )


class NotifySettings(_Section):
    """Over what the operator is told of approvals, besides webhooks."""

    urls: Secrets = Field(
        default=(), description="Apprise URLs (Slack, Telegram, mail …), as a JSON array; needs `pip install 'pointsman[notify]'`."
    )


class EgressSettings(_Section):
    """Which non-public hosts user-supplied URLs may reach."""

    allow: Texts = Field(default=(), description="Host names, addresses or CIDR networks, as a JSON array.")


class OAuthSettings(_Section):
    """The operator's client at an OAuth provider; a name that the catalogue does not know needs its `token_url`."""

    client_id: str | None = Field(default=None, description="Id of the client that is registered at the provider.")
    client_secret: SecretStr | None = Field(default=None, description="Secret of that client.")
    token_url: str | None = Field(default=None, pattern=_ADDRESS, description="Where tokens are granted; unset: the catalogue's.")
    revoke_url: str | None = Field(default=None, pattern=_ADDRESS, description="Where tokens are revoked; unset: the catalogue's.")
    authorize_url: str | None = Field(default=None, pattern=_ADDRESS, description="Where users consent; unset: the catalogue's.")
    authorize_params: dict[str, str] = Field(
        default_factory=dict[str, str], description="Further parameters for that address, as a JSON object, over the catalogue's."
    )
    scopes: Texts = Field(default=(), description="What users are asked for, as a JSON array; unset: the catalogue's.")
    issuer: str | None = Field(
        default=None,
        pattern=_ADDRESS,
        description="The issuer that the provider announces in its answers (RFC 9207): then answers without it are refused.",
    )
    pkce: bool | None = Field(default=None, description="Whether the provider knows PKCE; unset: as the catalogue says, yes for others.")


class KeyRingSettings(_Section):
    """The keys that encrypt stored secrets; the first encrypts, all decrypt."""

    keys: Secrets = Field(default=(), description="Fernet keys as a JSON array; unset: `DATA_DIR/keyring` (0600).")


class BreakerSettings(_Section):
    """When engines, targets and models that fail are left alone."""

    failures: int = Field(default=5, ge=1, le=1000, description="Failures in a row that open a breaker.")
    cool_down: Duration = Field(
        default=timedelta(seconds=15), description="How long it is open at first, and how long its one probe may take; doubled each time."
    )
    longest: Duration = Field(default=timedelta(minutes=5), description="How long it is open at most.")


class LogSettings(_Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe level that is logged.")
    format: Literal["json", "console"] = Field(default="json", description="JSON lines, or text for people.")


class Settings(BaseSettings):
    """Everything that can be set, by `POINTSMAN_…` variables (`__` between levels) and the providers' usual names."""

    # Compose files and charts pass on what is not set as an empty text: it means unset.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="forbid", populate_by_name=True
    )

    data_dir: Path = Field(default_factory=default_data_dir, description="Folder of the embedded server, key ring and admin key.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="Where people's browsers reach this gateway (`https://…`), for connecting accounts; unset: `APPROVALS__LINKS_URL`.",
    )
    drain_seconds: float = Field(default=15.0, ge=0, description="Longest time between SIGTERM and the end, in seconds.")
    approval_ttl_seconds: float = Field(
        default=86_400,
        ge=1,
        le=_LONGEST_TTL,
        description="How long a call waits for an approval before it counts as denied, in seconds.",
    )
    heartbeat_seconds: float = Field(default=15.0, gt=0, description="Seconds between comments on a silent stream.")
    database: DatabaseSettings = DatabaseSettings()
    limits: LimitSettings = LimitSettings()
    runs: RunSettings = RunSettings()
    breakers: BreakerSettings = BreakerSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    budgets: BudgetSettings = BudgetSettings()
    workers: WorkerSettings = WorkerSettings()
    runner: RunnerSettings = RunnerSettings()
    skills: SkillSettings = SkillSettings()
    mcp: McpSettings = McpSettings()
    retention: RetentionSettings = RetentionSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    notify: NotifySettings = NotifySettings()
    egress: EgressSettings = EgressSettings()
    keyring: KeyRingSettings = KeyRingSettings()
    log: LogSettings = LogSettings()
    failpoints: Texts = Field(
        default=(), description="For tests of reliability: places at which this process is to fail, as a JSON array; leave it unset."
    )
    providers: dict[str, ProviderSettings] = Field(
        default_factory=dict[str, ProviderSettings],
        description="Limits of the built-in providers (openai, anthropic, google) and named OpenAI-compatible providers.",
    )
    oauth: dict[str, OAuthSettings] = Field(
        default_factory=dict[str, OAuthSettings], description="Clients at OAuth providers, by the provider's name in lower case."
    )
    secrets: dict[str, SecretStr] = Field(
        default_factory=dict[str, SecretStr],
        description='A secret that targets and engines name by reference: `{"secret": "<name>"}`, in lower case.',
    )
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY", description="Key for `openai:` models.")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL", description="Base URL for `openai:` models.")
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias="ANTHROPIC_API_KEY", description="Key for `anthropic:` models."
    )
    anthropic_base_url: str | None = Field(
        default=None, validation_alias="ANTHROPIC_BASE_URL", description="Base URL for `anthropic:` models."
    )
    google_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("GOOGLE_API_KEY", "GEMINI_API_KEY"), description="Key for `google:` models."
    )
    google_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("GOOGLE_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL"),
        description="Base URL for `google:` models.",
    )

    @field_validator("providers")
    @classmethod
    def _has_an_address(cls, providers: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
        """A mistyped name of a built-in provider must not become a provider that nobody can reach."""
        for name, provider in providers.items():
            if name.lower() not in BUILT_IN and not provider.base_url:
                close = difflib.get_close_matches(name.lower(), BUILT_IN, n=1)
                hint = f"Did you mean {PREFIX}PROVIDERS__{close[0].upper()}?" if close else f"Built in are {', '.join(BUILT_IN)}."
                raise ValueError(f"The provider {name.lower()} needs {PREFIX}PROVIDERS__{name.upper()}__BASE_URL. {hint}")
        return providers


def load_settings(**overrides: Any) -> Settings:
    """Read the environment once; `overrides` (from command-line options) win. Raises SettingsInvalid."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**overrides)
    except pydantic.ValidationError as error:
        lines = [
            f"{_variable(item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsInvalid("; ".join(lines)) from None


def variable_names() -> dict[str, str]:
    """Every setting's variable and description; those of which there are several stand under the name `<NAME>`."""
    names: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names.update({str(choice): field.description or "" for choice in alias.choices})
        elif isinstance(alias, str):
            names[alias] = field.description or ""
        elif name == "providers":
            names.update(_section_names(f"{PREFIX}PROVIDERS__<NAME>__", ProviderSettings))
        elif name == "oauth":
            names.update(_section_names(f"{PREFIX}OAUTH__<NAME>__", OAuthSettings))
        elif name == "secrets":
            names[f"{PREFIX}SECRETS__<NAME>"] = field.description or ""
        elif isinstance(field.annotation, type) and issubclass(field.annotation, _Section):
            names.update(_section_names(f"{PREFIX}{name.upper()}__", field.annotation))
            if field.annotation is McpSettings:
                del names[f"{PREFIX}MCP__STDIO"]
                names.update(_section_names(f"{PREFIX}MCP__STDIO__<NAME>__", StdioServerSettings))
        else:
            names[f"{PREFIX}{name.upper()}"] = field.description or ""
    return names


def _section_names(prefix: str, section: type[_Section]) -> dict[str, str]:
    return {f"{prefix}{name.upper()}": field.description or "" for name, field in section.model_fields.items()}


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = variable_names()
    for name in environment:
        if not name.upper().startswith(PREFIX) or name in _CLIENT_ONLY:
            continue
        generic, provider = _generic(name.upper())  # variables are read whatever their case
        if generic in known:
            continue
        close = difflib.get_close_matches(generic, known, n=1)
        hint = f"Did you mean {close[0].replace('<NAME>', provider)}?" if close else "`pointsman doctor` lists the known settings."
        raise SettingsInvalid(f"Unknown setting {name}.", hint=hint)


def _generic(name: str) -> tuple[str, str]:
    """A variable as `variable_names` has it, and the provider or secret whose name it holds."""
    found = re.match(rf"({PREFIX}(?:PROVIDERS|OAUTH|MCP__STDIO)__)([^_]+(?:_[^_]+)*)(?=__)|({PREFIX}SECRETS?__)([^_]+(?:_[^_]+)*)$", name)
    if found is None:
        return name, "<NAME>"
    head, chosen = (text for text in found.groups() if text is not None)
    return f"{head}<NAME>{name[found.end() :]}", chosen


def _variable(location: tuple[int | str, ...]) -> str:
    head, *rest = (str(part) for part in location)
    if head.isupper():
        return head
    return PREFIX + "__".join([head.upper(), *(part.upper() for part in rest)])
