"""Where the tests of the client find their rude server."""

from __future__ import annotations
