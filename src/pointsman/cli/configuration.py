"""The settings of a command that starts or mends a gateway: options over the environment."""

from __future__ import annotations

from typing import Any

from pointsman.kit.problems import Kind, Problem
from pointsman.settings import Settings, load_settings


class ServerNotNamed(Problem):
    """The command works on a PostgreSQL server, and none is named: the embedded database belongs to `pointsman up`.

    Set `POINTSMAN_DATABASE__URL`, or use `pointsman up` where one machine is enough.
    """

    kind = Kind.INVALID
    code = "server-not-named"
    title = "No database server is named"


def read_settings(**options: Any) -> Settings:
    """Options that were given win over the environment. Raises SettingsInvalid."""
    settings = load_settings(**{name: value for name, value in options.items() if value is not None})
    return settings.model_copy(update={"data_dir": settings.data_dir.expanduser()})


def require_server(settings: Settings) -> None:
    """Raise ServerNotNamed unless the settings name a server."""
    if settings.database.url is None:
        raise ServerNotNamed(
            "POINTSMAN_DATABASE__URL is not set.",
            hint="Set it to the DSN of a PostgreSQL server, or use `pointsman up`, which brings its own.",
        )
