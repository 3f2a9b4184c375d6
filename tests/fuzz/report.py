"""The report of a run: what was asked how often, and what failed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.campaign import Cell, Failed, Tally

_CLASSES = ("2xx", "4xx", "5xx")


def written(tally: Tally, number: int, defects: list[str], broken: list[str]) -> str:
    """Markdown; `defects` are lines of the gateway's log, `broken` what the state machines found."""
    return "\n".join(_lines(tally, number, defects, broken)) + "\n"


def _lines(tally: Tally, number: int, defects: list[str], broken: list[str]) -> Iterator[str]:
    yield "# Fuzzing"
    yield ""
    yield f"{tally.cases} requests in {tally.seconds:.0f} s ({tally.cases / max(tally.seconds, 1):.0f} a second), seed {number}."
    yield f"{len(tally.failures)} sorts of failures; {len(defects)} defects in the gateway's log; {tally.restored} keys made anew."
    yield f"State machines of keys, prompts and sessions: {len(broken)} of 3 differ from their models."
    yield ""
    reached = {cell.operation for cell in tally.cells if cell.status == "2xx"}
    never = sorted({cell.operation for cell in tally.cells} - reached)
    yield f"Never answered 2xx to anybody: {', '.join(never) or 'none'}."
    yield ""
    for found in broken:
        yield from ("## A state machine", "", *(f"    {line}" for line in found.splitlines()[-200:]), "")
    for failed in tally.failures.values():
        yield from _failure(failed)
    if defects:
        yield from ("## In the log", "", *(f"    {line[:2000]}" for line in defects[:50]), "")
    yield from _table(tally)


def _failure(failed: Failed) -> Iterator[str]:
    yield f"## {failed.finding.check}: {failed.operation} as {failed.principal}, {failed.status} ({failed.times} times)"
    yield ""
    yield from (f"    {line}" for line in failed.finding.message.splitlines()[:40])
    yield ""
    yield f"    {failed.curl}"[:4000]
    yield ""
    yield f"    {failed.answer}"
    yield ""


def _table(tally: Tally) -> Iterator[str]:
    principals = sorted({cell.principal for cell in tally.cells})
    yield "## Answers"
    yield ""
    yield f"2xx / 4xx / 5xx by operation and caller.\n\n| | {' | '.join(principals)} |"
    yield f"| --- |{' --- |' * len(principals)}"
    for operation in sorted({cell.operation for cell in tally.cells}):
        counts = (" / ".join(str(tally.cells[Cell(operation, principal, status)]) for status in _CLASSES) for principal in principals)
        yield f"| {operation} | {' | '.join(counts)} |"
