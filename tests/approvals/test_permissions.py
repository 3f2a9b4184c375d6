"""What permissions mean: patterns, their order, and what nothing matches."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from pointsman.approvals.hashing import canonical, sha256_of
from pointsman.approvals.permissions import Rules, argument_of, judge, matches, readings
from pointsman.jobs.worker_config import Permissions, WorkerConfig


@pytest.mark.parametrize(
    ("pattern", "tool", "argument", "expected"),
    [
        ("*", "anything", "at all", True),
        ("command", "command", "rm -rf /", True),
        ("command", "commander", "", False),
        ("command(git push *)", "command", "git push origin main", True),
        ("command(git push *)", "command", "git pull origin", False),
        ("command(git push *)", "other", "git push origin", False),
        ("command(git *)", "command", "git log\nrm -rf /", True),
        ("write(*.env)", "write", "deep/down/.env", True),
        ("write(secrets/*)", "write", "secrets/", True),
        ("mcp_*", "mcp_search", "", True),
        ("mcp_*(*delete*)", "mcp_search", "please delete it", True),
        ("command(echo (hi))", "command", "echo (hi)", True),
        ("*(rm *)", "command", "rm x", True),
        ("command()", "command", "", True),
        ("command()", "command", "x", False),
        ("Command", "command", "", False),
        ("read(a?c)", "read", "abc", True),
    ],
)
def test_a_pattern_means_a_tool_and_perhaps_its_argument(pattern: str, tool: str, argument: str, expected: bool) -> None:
    assert matches(pattern, tool, argument) is expected


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ({}, "allow"),
        ({"deny": ["t"], "ask": ["t"], "allow": ["t"]}, "deny"),
        ({"ask": ["t"], "allow": ["t"]}, "ask"),
        ({"allow": ["t(y*)"]}, "ask"),
        ({"allow": ["t(x*)"]}, "allow"),
        ({"allow": ["other"]}, "ask"),
        ({"deny": ["other"]}, "allow"),
        ({"ask": ["*"]}, "ask"),
        ({"ask": ["*"], "deny": ["t(x)"]}, "deny"),
    ],
)
def test_deny_goes_before_ask_and_ask_before_allow_and_an_allow_list_asks_about_the_rest(
    permissions: dict[str, list[str]], expected: str
) -> None:
    assert judge(Permissions.model_validate(permissions), "t", "x") == expected


def test_tools_that_are_not_among_the_allowed_ones_are_denied_whatever_the_permissions_say() -> None:
    rules = Rules.of(WorkerConfig.model_validate({"allowed_tools": ["read", "write(src/*)"], "permissions": {"allow": ["*"]}}))
    assert rules.judge("read", "anything").verdict == "allow"
    assert rules.judge("write", "src/a").verdict == "allow"
    assert rules.judge("write", "etc/a").verdict == "deny"
    assert rules.judge("command", "ls").verdict == "deny"
    assert Rules.of(WorkerConfig.model_validate({"allowed_tools": []})).judge("read", "").verdict == "deny"


@pytest.mark.parametrize("pattern", ["command(git push", "command)", "(git)", "a b", "", "com mand(x)"])
def test_a_pattern_that_could_never_match_is_refused_before_it_gives_false_safety(pattern: str) -> None:
    with pytest.raises(ValidationError):
        Permissions.model_validate({"deny": [pattern]})


def test_the_argument_is_the_values_in_the_order_of_the_tools_parameters() -> None:
    parameters = {"properties": {"action": {}, "content": {}, "id": {}}}
    assert argument_of({"content": "tea", "action": "remember"}, parameters) == "remember tea"
    assert argument_of({"z": 1, "a": [1, {"b": None}], "action": "x"}, parameters) == 'x [1,{"b":null}] 1'
    assert argument_of({"argv": ["git", "push", "-f"]}) == "git push -f"
    assert argument_of({}) == ""


def test_edited_arguments_are_denied_however_they_are_read() -> None:
    rules = Rules(deny=("command(rm *)", "write(*.env)"))
    assert rules.denies_any("command", readings({"commands": [["ls"], ["rm", "-rf", "/"]]})) == "command(rm *)"
    assert rules.denies_any("write", readings({"path": "x.env", "content": "y"})) == "write(*.env)"
    assert rules.denies_any("command", readings({"commands": [["ls"]]})) is None


def test_a_glob_made_to_take_long_takes_no_time() -> None:
    began = time.process_time()
    assert not matches("t(" + "*a" * 100 + "b)", "t", "a" * 5000)
    assert time.process_time() - began < 5


def test_equal_arguments_have_one_hash_whatever_their_order() -> None:
    assert sha256_of({"b": 1, "a": "ü"}) == sha256_of({"a": "ü", "b": 1})
    assert canonical({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    assert sha256_of({"a": 1}) != sha256_of({"a": "1"})
    assert len(sha256_of({"a": "\ud83d"})) == 64
