"""Who asks: an operator, a tenant, a tenant that may only read, and strangers; kept alive whatever the generated requests do to keys."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.scene import Scene

from pointsman.access.keys import new_key
from pointsman.access.scopes import SCOPES

TENANT = "acme"
RIVAL = "rival"
# Stands in everything that the rival tenant owns; no answer to another tenant may hold it.
MARKER = "only-the-rival-" + secrets.token_hex(8)
READING = sorted(scope for scope in SCOPES if scope.endswith(":read"))
EVERYTHING = sorted(scope for scope in SCOPES if scope != "admin")


@dataclass
class Principal:
    """One kind of caller: what a key of it is made from, and the key; a stranger has none."""

    name: str
    made_from: dict[str, Any] | None
    key_id: int = 0
    key: str = ""
    strange: Iterator[dict[str, str]] = field(default_factory=lambda: iter(()))

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.made_from["scopes"]) if self.made_from else frozenset()

    @property
    def is_stranger(self) -> bool:
        return self.made_from is None

    @property
    def is_tenant(self) -> bool:
        return self.made_from is not None and self.made_from.get("owner_id") is not None

    def headers(self) -> dict[str, str]:
        """The credentials of the next request; a stranger shows another sort of none each time."""
        return next(self.strange) if self.is_stranger else {"Authorization": f"Bearer {self.key}"}

    def may(self, alternatives: list[list[str]]) -> bool:
        """Whether it holds one of the scopes that an operation takes."""
        return "admin" in self.scopes or any(self.scopes.issuperset(wanted) for wanted in alternatives)


class Company:
    """All principals of a run."""

    def __init__(self, scene: Scene) -> None:
        self._root = scene.root
        self.restored = 0
        self.operator = Principal("operator", {"name": "fuzz operator", "scopes": ["admin"], "owner_id": None})
        self.tenant = Principal("tenant", {"name": "fuzz tenant", "scopes": EVERYTHING, "owner_id": TENANT})
        self.reader = Principal("reader", {"name": "fuzz reader", "scopes": READING, "owner_id": TENANT})
        self.rival = Principal("rival", {"name": MARKER, "scopes": EVERYTHING, "owner_id": RIVAL})
        self._keyed = [self.operator, self.tenant, self.reader, self.rival]
        for principal in self._keyed:
            self._make(principal)
        self.stranger = Principal("stranger", None, strange=itertools.cycle(self._useless()))
        self._root_id: int = self._root.get("/v2/whoami").json()["id"]

    @property
    def callers(self) -> list[Principal]:
        """Those in whose name requests are generated."""
        return [self.operator, self.tenant, self.reader, self.stranger]

    @property
    def protected(self) -> set[int]:
        """The keys that no generated request may change: the run would end, and tell nothing."""
        return {self._root_id, *(principal.key_id for principal in self._keyed)}

    def restore(self, principal: Principal) -> bool:
        """Whether the key had to be made anew, as when its whole tenant was erased or its scopes were changed."""
        if principal.is_stranger or self._works(principal):
            return False
        self._make(principal)
        self.restored += 1
        return True

    def _works(self, principal: Principal) -> bool:
        assert principal.made_from is not None
        answer = self._root.get(f"/v2/keys/{principal.key_id}")
        if answer.status_code != 200 or not answer.json()["is_active"]:
            return False
        told = answer.json()
        unchanged = all(told[name] == principal.made_from[name] for name in ("owner_id", "name"))
        return unchanged and frozenset(told["scopes"]) == principal.scopes and told["rate_limit"] == 0 and told["expires_at"] is None

    def _make(self, principal: Principal) -> None:
        answer = self._root.post("/v2/keys", json=principal.made_from).raise_for_status().json()
        principal.key_id, principal.key = answer["id"], answer["api_key"]

    def _useless(self) -> list[dict[str, str]]:
        """No key, one that was revoked, one that never was, and things that are none."""
        revoked = self._root.post("/v2/keys", json={"name": "revoked", "scopes": ["admin"], "owner_id": None}).raise_for_status().json()
        self._root.delete(f"/v2/keys/{revoked['id']}").raise_for_status()
        bearers = [revoked["api_key"], new_key(), revoked["api_key"][:-1] + "!", "pm_", "null"]
        return [
            {},
            {"X-API-Key": new_key()},
            {"Authorization": "Basic YWRtaW46YWRtaW4="},
            *({"Authorization": f"Bearer {key}"} for key in bearers),
        ]
