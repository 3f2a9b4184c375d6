"""The one frozen tree of settings, read once from the environment; a name nobody knows is refused, secrets are never shown."""

from pointsman.settings.errors import SettingsInvalid
from pointsman.settings.providers import ProviderSettings, UpstreamLimits
from pointsman.settings.reading import load_settings, variable_names
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
    StdioServerSettings,
    SupervisionSettings,
    WorkerSettings,
)
from pointsman.settings.tree import BUILT_IN, Settings, default_data_dir
from pointsman.settings.values import PREFIX

__all__ = [
    "BUILT_IN",
    "PREFIX",
    "ApprovalSettings",
    "BreakerSettings",
    "BudgetSettings",
    "DatabaseSettings",
    "EgressSettings",
    "KeyRingSettings",
    "KnowledgeSettings",
    "LimitSettings",
    "LogSettings",
    "McpSettings",
    "NotifySettings",
    "OAuthSettings",
    "ProviderSettings",
    "RetentionSettings",
    "RunSettings",
    "RunnerSettings",
    "Settings",
    "SettingsInvalid",
    "SkillSettings",
    "StdioServerSettings",
    "SupervisionSettings",
    "UpstreamLimits",
    "WorkerSettings",
    "default_data_dir",
    "load_settings",
    "variable_names",
]
