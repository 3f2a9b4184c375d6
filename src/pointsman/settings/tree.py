"""The one frozen tree of settings."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from pointsman.settings.providers import ProviderSettings
from pointsman.settings.sections import (
    ApprovalSettings,
    BreakerSettings,
    BudgetSettings,
    DatabaseSettings,
    EgressSettings,
    KeyRingSettings,
    KnowledgeSettings,
    LimitSettings,
    LogSettings,
    McpSettings,
    NotifySettings,
    OAuthSettings,
    RetentionSettings,
    RunnerSettings,
    RunSettings,
    SkillSettings,
    SupervisionSettings,
    WorkerSettings,
)
from pointsman.settings.values import PREFIX, Texts

# Providers without an address of the operator's; every other name needs one.
BUILT_IN = ("openai", "openai_responses", "anthropic", "google", "scripted")
_LONGEST_TTL = 365 * 86_400.0


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/pointsman`, else `~/.local/share/pointsman`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "pointsman"


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
