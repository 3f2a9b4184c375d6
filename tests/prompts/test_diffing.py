from __future__ import annotations

import difflib
import random
import re

from hypothesis import given
from hypothesis import strategies as st

from pointsman.prompts.diffing import unified_diff

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "-x", "+y", "@@"]), max_size=30).map("\n".join)


def patched(text: str, diff: str) -> str:
    """Apply a unified diff, checking each context and removed line."""
    old, new, at = text.split("\n"), [], 0
    for line in diff.removesuffix("\n").split("\n")[2:] if diff else []:
        if head := re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line):
            start = int(head[1]) - (0 if head[2] == "0" else 1)
            new += old[at:start]
            at = start
            assert len(new) == int(head[3]) - (0 if head[4] == "0" else 1)
        elif line[0] == "+":
            new.append(line[1:])
        else:
            assert old[at] == line[1:]
            at += 1
            new += [line[1:]] if line[0] == " " else []
    return "\n".join(new + old[at:])


@given(LINES, LINES)
def test_the_diff_turns_the_old_text_into_the_new(before: str, after: str) -> None:
    assert patched(before, unified_diff(before, after, "1", "2")) == after


def test_equal_texts_have_no_diff() -> None:
    assert unified_diff("a\nb", "a\nb", "1", "2") == ""


def test_it_reads_like_the_usual_format() -> None:
    before, after = "\n".join("abcdefghij"), "\n".join("abcdeXghij")
    usual = "\n".join(difflib.unified_diff(before.split("\n"), after.split("\n"), "1", "2", lineterm="")) + "\n"
    assert unified_diff(before, after, "1", "2") == usual


def test_long_texts_without_structure_are_shown_as_replaced() -> None:
    chance = random.Random(4)
    before, after = ("\n".join(str(chance.randrange(150)) for _ in range(50_000)) for _ in range(2))
    before, after = f"same\n{before}\nend", f"same\n{after}\nend"
    diff = unified_diff(before, after, "1", "2")
    assert diff.count("\n@@") == 1
    assert patched(before, diff) == after
