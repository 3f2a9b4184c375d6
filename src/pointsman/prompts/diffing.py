"""The unified diff between two templates, in bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

Opcode = tuple[str, int, int, int, int]

# Matching lines costs up to their product: 1,000 lines against 1,000 took 5 ms. Past that the changed part is shown as replaced whole.
_MOST_PAIRS = 1_000_000
_CONTEXT = 3


def unified_diff(before: str, after: str, from_name: str, to_name: str) -> str:
    """The diff as text, empty where both are equal. Lines are what stands between newlines, so none is lost."""
    if before == after:
        return ""
    old, new = before.split("\n"), after.split("\n")
    lines = [f"--- {from_name}", f"+++ {to_name}"]
    for group in _groups(_opcodes(old, new)):
        lines.extend(_hunk(group, old, new))
    return "\n".join(lines) + "\n"


def _opcodes(old: list[str], new: list[str]) -> list[Opcode]:
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_end, new_end = len(old) - tail, len(new) - tail
    codes: list[Opcode] = [("equal", 0, head, 0, head)] if head else []
    codes.extend(
        (tag, i1 + head, i2 + head, j1 + head, j2 + head) for tag, i1, i2, j1, j2 in _matched(old[head:old_end], new[head:new_end])
    )
    if tail:
        codes.append(("equal", old_end, len(old), new_end, len(new)))
    return codes


def _common(old: list[str], new: list[str]) -> int:
    count = 0
    for a, b in zip(old, new, strict=False):
        if a != b:
            break
        count += 1
    return count


def _matched(old: list[str], new: list[str]) -> list[Opcode]:
    if len(old) * len(new) > _MOST_PAIRS:
        return [("replace", 0, len(old), 0, len(new))]
    return list(SequenceMatcher(None, old, new).get_opcodes())


def _groups(codes: list[Opcode]) -> Iterator[list[Opcode]]:
    group: list[Opcode] = []
    for index, (tag, i1, i2, j1, j2) in enumerate(codes):
        if tag != "equal":
            group.append((tag, i1, i2, j1, j2))
            continue
        before = _CONTEXT if index else 0
        after = _CONTEXT if index < len(codes) - 1 else 0
        if i2 - i1 <= before + after:
            group.append((tag, i1, i2, j1, j2))
            continue
        if group:
            yield [*group, (tag, i1, i1 + before, j1, j1 + before)]
        group = [(tag, i2 - after, i2, j2 - after, j2)]
    if any(code[0] != "equal" for code in group):
        yield group


def _hunk(group: list[Opcode], old: list[str], new: list[str]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            yield from (f" {line}" for line in old[i1:i2])
            continue
        yield from (f"-{line}" for line in old[i1:i2])
        yield from (f"+{line}" for line in new[j1:j2])


def _range(start: int, stop: int) -> str:
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
