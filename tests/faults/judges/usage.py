"""G5: the usage rows are what the provider reported, to the token; what it never reported is a row marked as estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.faults.evidence import Evidence, Row
from tests.faults.verdicts import Verdict, judged

Tokens = tuple[int, int]


def judge(evidence: Evidence) -> list[Verdict]:
    """G5, run by run: the ledger's entries are a run's by what the user said, so messages must be told apart by their text."""
    violations = [violation for run in evidence.runs.values() for violation in _of_run(evidence, run)]
    violations += [
        f"the upstream was called for {text[:60]!r}, which no run of the database asked"
        for text in evidence.asked_upstream
        if text not in evidence.runs_by_message
    ]
    violations += _totals_differ(evidence)
    rows = [row for row in evidence.tables["usage"] if _has_provider(row)]
    exact = [row for row in rows if not row["is_estimated"]]
    reported = sum(sum(_tokens(entry)) for entry in evidence.ledger if _is_reported(entry))
    counted = sum(row["prompt_tokens"] + row["completion_tokens"] for row in exact)
    what = f"calls in the ledger, {reported} tokens reported, {counted} counted exactly, {len(rows) - len(exact)} rows estimated"
    return [judged("G5", len(evidence.ledger), what, violations)]


def _of_run(evidence: Evidence, run: Row) -> Iterator[str]:
    message = run["request"]["message"]
    if len(evidence.runs_by_message[message]) > 1 or run["completed_at"] is None:
        return  # told by G4, and G1: nobody knows whose call it was, or it is not over
    entries = evidence.asked_upstream.get(message, [])
    rows = evidence.usages.get(run["id"], [])
    reported = Counter(_tokens(entry) for entry in entries if _is_reported(entry))
    exact = Counter((row["prompt_tokens"], row["completion_tokens"]) for row in rows if _has_provider(row) and not row["is_estimated"])
    estimated = sum(row["is_estimated"] for row in rows)
    where = f"run {run['id']} ({run['status']}, epoch {run['epoch']}, {message[:60]!r})"
    if invented := exact - reported:
        yield f"{where}: counted as reported, though the provider reported no such thing: {dict(invented)}"
    uncounted = reported - exact
    # A report that died with its replica, between the wire and the commit, is a call that nobody here ever heard the end of.
    if uncounted and run["epoch"] == 1:
        yield f"{where}: reported, but not counted: {dict(uncounted)}"
    silent = uncounted.total() + sum(_is_unreported(entry) for entry in entries)
    if silent > estimated:
        yield f"{where}: {silent} calls without a report that counts, but {estimated} estimated rows"
    doubtful = sum(entry["status"] == 0 for entry in entries)  # taken and never answered: it may have cost something
    if run["epoch"] == 1 and estimated > silent + doubtful:
        yield f"{where}: {estimated} estimated rows, but only {silent + doubtful} calls went without a report"
    if [row["call"] for row in rows] != list(range(len(rows))):
        yield f"{where}: calls are numbered {[row['call'] for row in rows]}"
    members = [row for child in evidence.children.get(run["id"], []) for row in evidence.usages.get(child["id"], [])]
    yield from _sum_differs(run, [*rows, *members], where)


def _sum_differs(run: Row, rows: list[Row], where: str) -> Iterator[str]:
    told = (run["result"] or {}).get("usage")
    if told is None:
        return
    summed = tuple(sum(row[name] for row in rows) for name in ("prompt_tokens", "completion_tokens"))
    if (told["prompt_tokens"], told["completion_tokens"]) != summed:
        yield f"{where}: its answer says {told}, its rows sum up to {summed}"


def _totals_differ(evidence: Evidence) -> Iterator[str]:
    """One sum against the other, where every run was driven by one process from its opening to its end."""
    # What indexing and searching spend is counted under names of their own.
    strays = [row for row in evidence.tables["usage"] if row["run_id"] not in evidence.runs and not row["run_id"].startswith("kno_")]
    if strays:
        yield f"{len(strays)} usage rows belong to no run: {strays[0]}"
    if any(run["epoch"] > 1 or run["completed_at"] is None for run in evidence.runs.values()):
        return
    reported = _summed(_tokens(entry) for entry in evidence.ledger if _is_reported(entry))
    exact = [row for row in evidence.tables["usage"] if _has_provider(row) and not row["is_estimated"]]
    counted = _summed((row["prompt_tokens"], row["completion_tokens"]) for row in exact)
    if reported != counted:
        yield f"the provider reported {reported} prompt and completion tokens in all, counted are {counted}"


def _summed(tokens: Iterable[Tokens]) -> Tokens:
    counts = list(tokens)
    return sum(prompt for prompt, _ in counts), sum(completion for _, completion in counts)


def _has_provider(row: Row) -> bool:
    """A scripted model counts by itself: nobody reports to it."""
    return not row["model"].startswith("scripted:")


def _tokens(entry: Row) -> Tokens:
    """Of several reports of one answer the last one counts."""
    return entry["reports"][-1]["prompt_tokens"], entry["reports"][-1]["completion_tokens"]


def _is_reported(entry: Row) -> bool:
    """Its whole usage was written out, whatever became of the answer afterwards."""
    return entry["is_final"]


def _is_unreported(entry: Row) -> bool:
    """It began to answer, and never said what it cost."""
    return entry["status"] == 200 and not _is_reported(entry)
