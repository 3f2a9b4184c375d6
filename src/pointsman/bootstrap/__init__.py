"""The composition root: settings in, a running process out. Every process that serves, works or maintains anything enters here.

A slice is wired by a small function of this folder that takes the gateway and gives it services and loops.
"""

from __future__ import annotations

from pointsman.bootstrap.gateway import Gateway
from pointsman.bootstrap.routing import routers

__all__ = ["Gateway", "routers"]
