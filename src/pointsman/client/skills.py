"""Skills: instructions with files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pointsman.client.shapes import Skill, SkillItem, SkillVersion, SkillVersionItem
from pointsman.client.transport import Transport


class Skills:
    """`/v2/skills`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        category: str | None = None,
        tags: list[str] | None = None,
        q: str | None = None,
        include_inactive: bool = False,
        most: int | None = None,
    ) -> Iterator[SkillItem]:
        """By id, without their texts."""
        query = {"category": category, "tag": tags, "q": q, "include_inactive": include_inactive}
        return self._transport.pages("v2", "skills", query=query, most=most)

    def create(self, body: Mapping[str, Any]) -> Skill:
        return self._transport.call("POST", "v2", "skills", body=body)

    def read(self, skill_id: str) -> Skill:
        return self._transport.call("GET", "v2", "skills", skill_id)

    def update(self, skill_id: str, patch: Mapping[str, Any]) -> Skill:
        return self._transport.call("PATCH", "v2", "skills", skill_id, body=patch)

    def delete(self, skill_id: str) -> None:
        self._transport.call("DELETE", "v2", "skills", skill_id)

    def import_zip(self, data: bytes, *, skill_id: str | None = None, replace: bool = False) -> Skill:
        """A skill from a zip of its folder; `replace` makes the next version of one that is there."""
        query = {"id": skill_id, "replace": replace}
        return self._transport.send("POST", "v2", "skills", "import", query=query, upload=("skill.zip", data)).json()

    def export(self, skill_id: str, version: int | None = None) -> bytes:
        """A zip of its folder."""
        return self._transport.send("GET", "v2", "skills", skill_id, "export", query={"version": version}).content

    def versions(self, skill_id: str, *, most: int | None = None) -> Iterator[SkillVersionItem]:
        """Newest first, without their texts."""
        return self._transport.pages("v2", "skills", skill_id, "versions", most=most)

    def read_version(self, skill_id: str, version: int) -> SkillVersion:
        return self._transport.call("GET", "v2", "skills", skill_id, "versions", str(version))

    def rollback(self, skill_id: str, version: int) -> Skill:
        return self._transport.call("POST", "v2", "skills", skill_id, "rollback", body={"version": version})
