"""Pointsman: a self-hosted gateway for AI agents."""

__version__ = "0.1.0"
