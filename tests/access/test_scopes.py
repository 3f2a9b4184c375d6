from __future__ import annotations

import pytest
from pydantic import ValidationError

from pointsman.access.schemas import KeyCreate
from pointsman.access.scopes import SCOPES, beyond, known_scope


def test_every_noun_can_be_read_and_written() -> None:
    nouns = {scope.partition(":")[0] for scope in SCOPES if scope.endswith(":read")}
    assert len(nouns) == 24
    assert all(f"{noun}:{access}" in SCOPES for noun in nouns for access in ("read", "write"))


def test_there_are_six_verbs_and_one_scope_for_all() -> None:
    others = [scope for scope in SCOPES if not scope.endswith((":read", ":write"))]
    assert others == ["admin", "agents:run", "approvals:decide", "runner:use", "teams:run", "tokens:reveal", "tokens:use"]
    assert len(set(SCOPES)) == len(SCOPES)


@pytest.mark.parametrize(("typo", "meant"), [("agent:run", "agents:run"), ("keys:writes", "keys:write"), ("Admin", "admin")])
def test_a_typo_gets_a_suggestion(typo: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        known_scope(typo)


def test_something_quite_different_gets_the_form_of_a_scope() -> None:
    with pytest.raises(ValueError, match="scopes look like"):
        known_scope("§§§")


def test_a_body_names_the_wrong_scope_by_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        KeyCreate.model_validate({"name": "x", "scopes": ["agents:run", "agents:rum"]})
    assert caught.value.errors()[0]["loc"] == ("scopes", 1)
    assert "agents:run" in caught.value.errors()[0]["msg"]


def test_admin_covers_everything_and_nothing_else_covers_more_than_itself() -> None:
    assert beyond(SCOPES, ["admin"]) == []
    assert beyond(["keys:write", "admin", "keys:read"], ["keys:write"]) == ["admin", "keys:read"]
