"""A typed, synchronous client of Pointsman's own HTTP API; importing it is cheap, HTTP is loaded with the first request."""

from __future__ import annotations

from pointsman.client.client import PointsmanClient
from pointsman.client.errors import GatewayUnreachable, ProblemResponse, StreamLost
from pointsman.client.streaming import TERMINAL, Event, Transcript

__all__ = ["TERMINAL", "Event", "GatewayUnreachable", "PointsmanClient", "ProblemResponse", "StreamLost", "Transcript"]
