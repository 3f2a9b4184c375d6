"""What tests of runners share."""

from __future__ import annotations

from tests.conformance.runners.docker import daemon

__all__ = ["daemon"]
