"""The command line: one file per noun, loaded when it is called, speaking to the gateway over HTTP except where it starts or mends one."""

from __future__ import annotations

from pointsman.cli.root import app, main

__all__ = ["app", "main"]
