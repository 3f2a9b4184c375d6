"""Keys against a model of them: who made what within which scopes and tenant, who may change it, and who is let in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.fuzz.calls import Answer, Calls

# What a gateway may know of a key is at most this old.
_REMEMBERED_SECONDS = 0.9
_SCOPES = ("keys:read", "keys:write", "prompts:read", "agents:run", "admin")
_EXPIRIES = (None, "2098-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z")
_LIMITS = (0, 1_000_000, 2_000_000)
_scopes = st.lists(st.sampled_from(_SCOPES), min_size=1, max_size=4, unique=True)
# Most often one that may do much, or little would ever be made by keys that were made.
_new_scopes = st.one_of(st.just(["keys:read", "keys:write", "prompts:read"]), _scopes)
_which = st.integers(0, 30)
_owners = st.sampled_from(("", None, "acme", "globex"))  # an empty one is left out


@dataclass
class Key:
    """A key that was made."""

    id: int
    secret: str
    name: str
    scopes: list[str]
    owner: str | None
    limit: int
    expires_at: str | None
    family: int
    is_active: bool = True
    is_over: bool = False  # rotated away without an overlap
    used_at: float = -1.0
    changed_at: float = -1.0

    @property
    def works(self) -> bool:
        return self.is_active and not self.is_over

    def may(self, *scopes: str) -> bool:
        return "admin" in self.scopes or set(scopes) <= set(self.scopes)

    def sees(self, other: Key) -> bool:
        return self.owner is None or self.owner == other.owner

    def wire(self) -> dict[str, Any]:
        told = {"id": self.id, "name": self.name, "scopes": self.scopes, "owner_id": self.owner, "rate_limit": self.limit}
        return told | {"is_active": self.is_active, "expires_at": self.expires_at}


class KeysMachine(RuleBasedStateMachine):
    """Bound to a gateway by `calls`. The key that began it all is no part of the model: it sees everything, and stays."""

    calls: ClassVar[Calls]

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[int, Key] = {}

    @initialize()
    def first_keys(self) -> None:
        for owner, scopes in ((None, ["admin"]), ("acme", ["keys:read", "keys:write", "prompts:read"])):
            body = {"name": "first", "scopes": scopes, "owner_id": owner}
            self._note(self.calls.ask("POST", "/v2/keys", body).body, family=None)

    @rule(actor=_which, name=st.sampled_from(("robot", "Ann's")), scopes=_new_scopes, owner=_owners, limit=st.sampled_from(_LIMITS))
    def make(self, actor: int, name: str, scopes: list[str], owner: str | None, limit: int) -> None:
        maker = self._one(actor)
        body: dict[str, Any] = {"name": name, "scopes": scopes, "rate_limit": limit} | ({} if owner == "" else {"owner_id": owner})
        answer = self._as(maker, "POST", "/v2/keys", body)
        if not self._let_in(maker, answer, "keys:write"):
            return
        if maker.owner is not None and owner not in {"", maker.owner}:
            assert (answer.status, answer.code) == (403, "owner-forbidden")
        elif not maker.may(*scopes):
            assert (answer.status, answer.code) == (403, "scopes-exceeded")
        else:
            assert answer.status == 201
            key = self._note(answer.body, family=None)
            wanted = maker.owner if owner == "" else owner
            assert (key.name, key.scopes, key.owner, key.limit, key.expires_at) == (name, scopes, wanted, limit, None)

    @rule(
        actor=_which,
        which=_which,
        changes=st.fixed_dictionaries(
            {}, optional={"scopes": _scopes, "rate_limit": st.sampled_from(_LIMITS), "expires_at": st.sampled_from(_EXPIRIES)}
        ),
    )
    def change(self, actor: int, which: int, changes: dict[str, Any]) -> None:
        maker, key = self._one(actor), self._one(which)
        answer = self._as(maker, "PATCH", f"/v2/keys/{key.id}", changes)
        if not self._let_in(maker, answer, "keys:write") or not self._found(maker, key, answer):
            return
        if not key.is_active:
            assert (answer.status, answer.code) == (409, "key-revoked")
        elif maker is key and _widens(key, changes):
            assert (answer.status, answer.code) == (403, "key-widens-itself")
        elif not maker.may(*(set(changes.get("scopes", ())) - set(key.scopes))):
            assert (answer.status, answer.code) == (403, "scopes-exceeded")
        else:
            key.scopes = changes.get("scopes", key.scopes)
            key.limit = changes.get("rate_limit", key.limit)
            key.is_over = key.is_over and "expires_at" not in changes
            key.expires_at = changes.get("expires_at", key.expires_at)
            key.changed_at = time.monotonic()
            assert (answer.status, _told(answer.body)) == (200, key.wire())

    @rule(actor=_which, which=_which, overlap=st.sampled_from((0, 3600)))
    def rotate(self, actor: int, which: int, overlap: int) -> None:
        maker, key = self._one(actor), self._one(which)
        answer = self._as(maker, "POST", f"/v2/keys/{key.id}/rotate", {"overlap_seconds": overlap})
        if not self._let_in(maker, answer, "keys:write") or not self._found(maker, key, answer):
            return
        if not maker.may(*key.scopes):
            assert (answer.status, answer.code) == (403, "scopes-exceeded")
        elif not key.works or any(other.family == key.family and other.id > key.id for other in self._keys.values()):
            assert (answer.status, answer.code) == (409, "key-not-rotatable")
        else:
            assert (answer.status, answer.body["rotated_from"]) == (201, key.id)
            heir = self._note(answer.body, family=key.family)
            assert heir.wire() | {"id": key.id} == key.wire()
            key.expires_at, key.is_over, key.changed_at = answer.body["old_key_expires_at"], overlap == 0, time.monotonic()

    @rule(actor=_which, which=_which)
    def revoke(self, actor: int, which: int) -> None:
        maker, key = self._one(actor), self._one(which)
        answer = self._as(maker, "DELETE", f"/v2/keys/{key.id}")
        if self._let_in(maker, answer, "keys:write") and self._found(maker, key, answer):
            key.is_active, key.changed_at = False, time.monotonic()
            assert answer.status == 204

    @rule(actor=_which)
    def who_am_i(self, actor: int) -> None:
        key = self._one(actor)
        answer = self._as(key, "GET", "/v2/whoami")
        if self._let_in(key, answer):
            assert _told(answer.body) == key.wire()
            assert (answer.body["tenant"], answer.body["is_operator"]) == (key.owner, key.owner is None)

    @rule(actor=_which)
    def list_own(self, actor: int) -> None:
        key = self._one(actor)
        answer = self._as(key, "GET", "/v2/keys?limit=1")
        if key.owner is not None and self._let_in(key, answer, "keys:read"):
            newest = max(number for number, other in self._keys.items() if key.sees(other))
            assert [row["id"] for row in answer.body["items"]] == [newest]

    @invariant()
    def the_list_is_every_key_as_the_model_has_it(self) -> None:
        if not self._keys:
            return
        listed = self._listed(limit=3)
        assert [row["id"] for row in listed] == sorted(self._keys, reverse=True)
        assert {row["id"]: _told(row) for row in listed} == {key.id: key.wire() for key in self._keys.values()}
        assert not any("api_key" in row or row["hint"] == self._keys[row["id"]].secret for row in listed)

    def _listed(self, *, limit: int) -> list[dict[str, Any]]:
        """All of this example: lists begin with the newest, and other examples' keys are older."""
        oldest, cursor, rows = min(self._keys), None, list[dict[str, Any]]()
        while True:
            page = self.calls.ask("GET", "/v2/keys", limit=limit, cursor=cursor).body
            rows.extend(row for row in page["items"] if row["id"] >= oldest)
            cursor = page["next_cursor"]
            if cursor is None or page["items"][-1]["id"] <= oldest:
                return rows

    def _one(self, which: int) -> Key:
        return list(self._keys.values())[which % len(self._keys)]

    def _note(self, body: dict[str, Any], *, family: int | None) -> Key:
        key = Key(
            id=body["id"],
            secret=body["api_key"],
            name=body["name"],
            scopes=body["scopes"],
            owner=body["owner_id"],
            limit=body["rate_limit"],
            expires_at=body["expires_at"],
            family=family or body["id"],
        )
        self._keys[key.id] = key
        return key

    def _as(self, key: Key, method: str, path: str, body: Any = None) -> Answer:
        """Ask with a key; what the gateway may still remember from before a change of it is waited for."""
        if key.changed_at - key.used_at < _REMEMBERED_SECONDS:
            time.sleep(max(0.0, key.changed_at + _REMEMBERED_SECONDS - time.monotonic()))
        key.used_at = time.monotonic()
        return self.calls.ask(method, path, body, key=key.secret)

    def _let_in(self, key: Key, answer: Answer, *scopes: str) -> bool:
        if not key.works:
            assert (answer.status, answer.code) == (401, "unauthenticated" if not key.is_active else "key-expired")
            return False
        if not key.may(*scopes):
            assert (answer.status, answer.code) == (403, "scope-missing")
            return False
        assert answer.status != 401
        return True

    def _found(self, maker: Key, key: Key, answer: Answer) -> bool:
        if maker.sees(key):
            return True
        assert (answer.status, answer.code) == (404, "key-not-found")
        return False


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "name", "scopes", "owner_id", "rate_limit", "is_active", "expires_at")}


def _widens(key: Key, changes: dict[str, Any]) -> bool:
    limit, expiry = changes.get("rate_limit", key.limit), changes.get("expires_at", key.expires_at)
    return bool(key.limit and (limit == 0 or limit > key.limit)) or bool(key.expires_at and (expiry is None or expiry > key.expires_at))
