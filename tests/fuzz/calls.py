"""A synchronous caller of the gateway under test, as state machines need one, and lists read page by page."""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx


class Answer(NamedTuple):
    """A status, and the body where there is one; for a problem also its code."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        return self.body["code"] if self.status >= 400 else ""


class Calls:
    """Requests with one key after another, over one connection pool."""

    def __init__(self, url: str, root_key: str) -> None:
        self.root_key = root_key
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "", tenant: str | None = None, **query: Any) -> Answer:
        """One request; without a key it is the first operator's."""
        headers = {"Authorization": f"Bearer {key or self.root_key}"} | ({"X-Pointsman-Tenant": tenant} if tenant is not None else {})
        params = {name: value for name, value in query.items() if value is not None}
        answer = self._client.request(method, path, json=body, params=params or None, headers=headers)
        assert answer.status_code < 500 or answer.json()["code"].startswith("model-"), answer.text
        return Answer(answer.status_code, answer.json() if answer.content else None)

    def all_of(self, path: str, *, limit: int, key: str = "", tenant: str | None = None, **query: Any) -> list[dict[str, Any]]:
        """A list to its end; fails on a page that is too long, and on one before the last that is not full."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            status, page = self.ask("GET", path, key=key, tenant=tenant, limit=limit, cursor=cursor, **query)
            assert status == 200, page
            items.extend(page["items"])
            cursor = page["next_cursor"]
            assert len(page["items"]) <= limit
            if cursor is None:
                return items
            assert len(page["items"]) == limit, "a page that is not the last is not full"
