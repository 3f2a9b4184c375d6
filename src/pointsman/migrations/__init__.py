"""Brings a database to the schema that this release needs, and says where it stands."""

from __future__ import annotations

from pointsman.migrations.checking import check
from pointsman.migrations.running import MigrationResult, current, downgrade, migrate
from pointsman.migrations.state import HEAD

__all__ = ["HEAD", "MigrationResult", "check", "current", "downgrade", "migrate"]
