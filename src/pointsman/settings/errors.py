"""What may be wrong with settings."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class SettingsInvalid(Problem):
    """A setting in the environment is unknown or has a value that cannot be used; the detail names it.

    Correct the variable and start again. Every setting is listed in the reference with its type and default.
    """

    kind = Kind.INVALID
    code = "settings-invalid"
    title = "The settings are not valid"
