"""The settings by what they are about."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    Field,
    SecretStr,
    model_validator,
)

from pointsman.settings.values import Duration, Kept, NamedSecrets, Secrets, Section, Texts

_ADDRESS = r"^https?://[^\s#]+$"


class DatabaseSettings(Section):
    """Where PostgreSQL is; without a URL an embedded server is used."""

    url: SecretStr | None = Field(default=None, description="DSN of a PostgreSQL 16+ server; unset: the embedded server.")
    pool_size: int = Field(default=10, ge=2, le=200, description="Connections in the pool of a process.")
    statement_timeout: Duration = Field(default=timedelta(seconds=30), description="Longest statement.")


class LimitSettings(Section):
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


class RunSettings(Section):
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


class SupervisionSettings(Section):
    """How supervised runs are bounded, and when their jobs ask a person first."""

    max_jobs: int = Field(default=8, ge=1, le=64, description="Most jobs that one plan of a supervised run may come to.")
    live_runs: int = Field(default=200, ge=1, description="Supervised runs of one tenant that have not ended.")
    max_duration: Duration = Field(
        default=timedelta(days=3), description="Longest supervised run, jobs and the wait for approvals together."
    )
    ask_at_risk: Literal["low", "medium", "high", "never"] = Field(
        default="high", description="From which risk on the jobs of a supervised run ask a person before they act."
    )


class BudgetSettings(Section):
    """How much is reserved of budgets."""

    output_tokens: int = Field(
        default=4096, ge=16, le=10_000_000, description="Output tokens of a call within a budget that sets no `max_tokens`."
    )


class WorkerSettings(Section):
    """How a process does jobs."""

    slots: int = Field(
        default=64, ge=1, le=10_000, description="Jobs that one worker has in hand at once; targets have limits of their own."
    )
    pool_limits: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict[str, int],
        description="Jobs of a pool at once, over all its targets and workers, as a JSON object; the same for each worker.",
    )


class RunnerSettings(Section):
    """Which targets of this gateway another Pointsman may use, with an operator's key that has the scope `runner:use`."""

    targets: Texts = Field(default=(), description="Ids of targets, as a JSON array; unset: none.")
    lease: Duration = Field(default=timedelta(seconds=30), description="Silence of its caller after which an idle sandbox is closed.")


class SkillSettings(Section):
    """Where and within which bounds scripts of skills run."""

    target: str = Field(default="local", description="Id of the target; on one that keeps nothing apart no script is run.")
    script_timeout: Duration = Field(default=timedelta(seconds=30), description="Longest script.")
    script_memory_mb: int = Field(default=256, ge=16, le=65_536, description="Most memory of a script in MB (2^20 bytes).")
    script_output_bytes: int = Field(
        default=32_768, ge=256, le=4_194_304, description="Most that a model is given of what a script prints, for each stream."
    )
    concurrent_scripts: int = Field(default=4, ge=1, le=256, description="Scripts that one process runs at the same time.")


class StdioServerSettings(Section):
    """An MCP server that is a program of this machine: it runs in a sandbox without a network, and sees the folders named here."""

    command: str = Field(min_length=1, description="The program, with its path or to be found in `/usr/local/bin:/usr/bin:/bin`.")
    args: Texts = Field(default=(), description="Its arguments, as a JSON array.")
    env: NamedSecrets = Field(
        default_factory=dict[str, SecretStr], description="Its whole environment besides PATH and HOME, as a JSON object."
    )
    folders: Texts = Field(
        default=(), description="Folders that it may read, at the same path inside, as a JSON array; those of /usr it sees anyway."
    )
    description: str | None = Field(default=None, max_length=10_000, description="What it is for, told to who lists servers.")
    memory_mb: int = Field(default=512, ge=16, le=65_536, description="Most memory of it and its children in MB (2^20 bytes).")
    connect_seconds: float = Field(default=20.0, ge=0.1, le=60, description="Longest start, in seconds.")
    call_seconds: float = Field(default=30.0, ge=0.1, le=60, description="Longest call, in seconds.")


class McpSettings(Section):
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


class RetentionSettings(Section):
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


class ApprovalSettings(Section):
    """How people are asked."""

    links_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="Where people reach this gateway (`https://…`): enables signed links that decide without a key.",
    )


class KnowledgeSettings(Section):
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


class NotifySettings(Section):
    """Over what the operator is told of approvals, besides webhooks."""

    urls: Secrets = Field(
        default=(), description="Apprise URLs (Slack, Telegram, mail …), as a JSON array; needs `pip install 'pointsman[notify]'`."
    )


class EgressSettings(Section):
    """Which non-public hosts user-supplied URLs may reach."""

    allow: Texts = Field(default=(), description="Host names, addresses or CIDR networks, as a JSON array.")


class OAuthSettings(Section):
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


class KeyRingSettings(Section):
    """The keys that encrypt stored secrets; the first encrypts, all decrypt."""

    keys: Secrets = Field(default=(), description="Fernet keys as a JSON array; unset: `DATA_DIR/keyring` (0600).")


class BreakerSettings(Section):
    """When engines, targets and models that fail are left alone."""

    failures: int = Field(default=5, ge=1, le=1000, description="Failures in a row that open a breaker.")
    cool_down: Duration = Field(
        default=timedelta(seconds=15), description="How long it is open at first, and how long its one probe may take; doubled each time."
    )
    longest: Duration = Field(default=timedelta(minutes=5), description="How long it is open at most.")


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe level that is logged.")
    format: Literal["json", "console"] = Field(default="json", description="JSON lines, or text for people.")
