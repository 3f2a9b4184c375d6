"""Keys, usage, budgets and the audit log: who may call, what was and may be spent, and what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pointsman.client.shapes import AuditEntry, AuditVerdict, Budget, IssuedKey, Key, RotatedKey, UsageReport, WhoAmI
from pointsman.client.transport import Query, Transport


class Keys:
    """`/v2/keys` and `/v2/whoami`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def who_am_i(self) -> WhoAmI:
        return self._transport.call("GET", "v2", "whoami")

    def list(self, *, owner_id: str | None = None, is_active: bool | None = None, most: int | None = None) -> Iterator[Key]:
        """Newest first."""
        return self._transport.pages("v2", "keys", query={"owner_id": owner_id, "is_active": is_active}, most=most)

    def create(self, body: Mapping[str, Any]) -> IssuedKey:
        return self._transport.call("POST", "v2", "keys", body=body)

    def rotate(self, key_id: int, overlap_seconds: int) -> RotatedKey:
        return self._transport.call("POST", "v2", "keys", str(key_id), "rotate", body={"overlap_seconds": overlap_seconds})

    def revoke(self, key_id: int) -> None:
        self._transport.call("DELETE", "v2", "keys", str(key_id))


class UsageReports:
    """`/v2/usage`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def report(self, query: Query) -> UsageReport:
        return self._transport.call("GET", "v2", "usage", query=query)

    def csv(self, query: Query) -> str:
        return self._transport.send("GET", "v2", "usage", query={**query, "format": "csv"}, headers={"accept": "text/csv"}).text


class Budgets:
    """`/v2/budgets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        subject_type: str | None = None,
        subject_id: str | None = None,
        include_inactive: bool = False,
        most: int | None = None,
    ) -> Iterator[Budget]:
        """Newest first."""
        query = {"subject_type": subject_type, "subject_id": subject_id, "include_inactive": include_inactive}
        return self._transport.pages("v2", "budgets", query=query, most=most)

    def create(self, body: Mapping[str, Any]) -> Budget:
        return self._transport.call("POST", "v2", "budgets", body=body)

    def read(self, budget_id: str) -> Budget:
        return self._transport.call("GET", "v2", "budgets", budget_id)

    def update(self, budget_id: str, patch: Mapping[str, Any]) -> Budget:
        return self._transport.call("PATCH", "v2", "budgets", budget_id, body=patch)

    def delete(self, budget_id: str) -> None:
        self._transport.call("DELETE", "v2", "budgets", budget_id)


class AuditLog:
    """`/v2/audit`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, query: Query, *, most: int | None = None) -> Iterator[AuditEntry]:
        """Newest first."""
        return self._transport.pages("v2", "audit", query=query, most=most)

    def verify(self) -> AuditVerdict:
        return self._transport.call("GET", "v2", "audit", "verify", patient=True)
