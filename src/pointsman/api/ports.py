"""What the edge needs of the composition root, which makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.telemetry import Metrics
from pointsman.settings import Settings
from pointsman.web.streams import Flag


class DrainFlag(Flag, Protocol):
    """Says that the process is stopping; set once, by whoever got the signal."""

    def set(self) -> None: ...


class Gateway(Protocol):
    """One process's parts. `services` holds at least `Authenticator` and `HourlyLimit`, each under its class."""

    @property
    def settings(self) -> Settings: ...
    @property
    def db(self) -> Database: ...
    @property
    def services(self) -> Mapping[type, object]: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def draining(self) -> DrainFlag: ...
