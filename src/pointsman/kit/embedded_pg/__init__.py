"""An embedded PostgreSQL: the programs come from a wheel, everything that starts, shares, guards and stops the server is here."""

from __future__ import annotations

from pointsman.kit.embedded_pg.account import SERVICE_UIDS
from pointsman.kit.embedded_pg.diagnosis import Finding, Level, diagnose
from pointsman.kit.embedded_pg.server import EmbeddedPostgres, find_dsn
from pointsman.kit.embedded_pg.tools import Tool, run_tool, tool
from pointsman.kit.embedded_pg.wheel import binary

__all__ = ["SERVICE_UIDS", "EmbeddedPostgres", "Finding", "Level", "Tool", "binary", "diagnose", "find_dsn", "run_tool", "tool"]
