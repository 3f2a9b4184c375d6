"""What a start loads: importing is most of the time that it takes."""

from __future__ import annotations

import subprocess
import sys

# Needed by some requests or commands only, each a noticeable part of a second.
LATER = {
    "aiohttp",
    "alembic",
    "anthropic",
    "genai_prices",
    "google.genai",
    "mcp",
    "mcp_types",
    "openai",
    "pydantic_ai",
    "sqlalchemy",
    "pointsman.tables",
}
SERVING = "import sys, pointsman.bootstrap, pointsman.api.app, pointsman.api.server, pointsman.migrations; print(*sys.modules)"


def test_serving_loads_only_what_every_start_needs() -> None:
    loaded = set(subprocess.run([sys.executable, "-c", SERVING], capture_output=True, text=True, check=True).stdout.split())
    assert {"pointsman.bootstrap", "asyncpg"} <= loaded
    assert loaded & LATER == set()
