"""What is judged: the clients' record, the upstream's ledger and the database, read from the files that a program left."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from tests.faults.record import Begun, Call, Fault, FaultKind, Key, Seen, read_jsonl, read_record

Row = dict[str, Any]
RECORD, LEDGER, DATABASE, FINDINGS = "record.jsonl", "ledger.jsonl", "database.jsonl", "findings.jsonl"
# What the database is dumped into: `{"table": name, …columns}` a line. JSON columns come as values, except events: as their text, byte
# for byte.
DUMP = {
    "runs": """SELECT id, tenant_id, kind, subject, status, session_id, key_id, replica, epoch, reserved_seq, parent_run_id, request,
                      result, error,
                      extract(epoch FROM created_at)::float8 AS created_at, extract(epoch FROM completed_at)::float8 AS completed_at
               FROM runs ORDER BY ordinal""",
    "run_events": "SELECT run_id, seq, last_seq, data::text AS packed FROM run_events ORDER BY run_id, seq",
    "messages": "SELECT run_id, position, session_id, role, content FROM messages ORDER BY run_id, position",
    "usage": """SELECT d.run_id, d.call, d.key_id, t.model, t.prompt_tokens, t.completion_tokens, t.is_estimated, d.cached_tokens,
                       d.reasoning_tokens, d.cost::float8 AS cost
                FROM token_usage t LEFT JOIN usage_details d ON d.usage_id = t.id ORDER BY d.run_id, d.call""",
    "rate_windows": """SELECT w.family_id, l.key_id, w.used, extract(epoch FROM w.started_at)::float8 AS started_at
                       FROM rate_windows w JOIN api_key_lineage l USING (family_id)""",
    "written": """SELECT 'prompt' AS kind, prompt_id AS id, template AS text FROM prompts.prompt_versions
                  UNION ALL SELECT 'agent', id, name FROM agent_info UNION ALL SELECT 'memory', id, content FROM memories""",
    "clock": "SELECT extract(epoch FROM clock_timestamp())::float8 AS now",
}


_packed = msgspec.json.Decoder(list[tuple[int, str, msgspec.Raw]]).decode


@dataclass
class Evidence:
    """Everything that a judge may look at."""

    calls: list[Call] = field(default_factory=list[Call])
    faults: list[Fault] = field(default_factory=list[Fault])
    keys: list[Key] = field(default_factory=list[Key])
    begun: Begun | None = None
    ledger: list[Row] = field(default_factory=list[Row])
    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict[str, list[Row]](list))
    findings: list[Row] | None = None  # secrets that were found; None: nobody searched

    @cached_property
    def runs(self) -> dict[str, Row]:
        """The database's runs by their ids."""
        return {row["id"]: row for row in self.tables["runs"]}

    @cached_property
    def runs_by_message(self) -> dict[str, list[Row]]:
        """The database's runs by what the user said."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.tables["runs"]:
            found[row["request"]["message"]].append(row)
        return found

    @cached_property
    def children(self) -> dict[str, list[Row]]:
        """What members did for runs of teams, by the team's run."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.tables["runs"]:
            if row.get("parent_run_id"):
                found[row["parent_run_id"]].append(row)
        return found

    @cached_property
    def usages(self) -> dict[str, list[Row]]:
        """Usage rows by run."""
        return self._by_run("usage")

    @cached_property
    def events(self) -> dict[str, list[Seen]]:
        """Stored events by run, in order, each with the frame in which it goes out."""
        return {
            run: [Seen(seq, name, frame_of(seq, name, bytes(data).decode())) for row in rows for seq, name, data in _packed(row["packed"])]
            for run, rows in self._by_run("run_events").items()
        }

    @cached_property
    def asked_upstream(self) -> dict[str, list[Row]]:
        """The ledger's entries by the last thing the user said."""
        found: dict[str, list[Row]] = defaultdict(list)
        for entry in self.ledger:
            found[entry["text"]].append(entry)
        return found

    def during(self, call: Call, *kinds: FaultKind, grace: float = 0.0) -> list[Fault]:
        """The faults of these kinds under way while the call was, or up to `grace` seconds before it."""
        return [fault for fault in self.faults if fault.kind in kinds and fault.began <= call.ended and fault.ended + grace >= call.began]

    def _by_run(self, table: str) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.tables[table]:
            found[row["run_id"]].append(row)
        return found


def read_evidence(folder: Path) -> Evidence:
    """Read a program's folder."""
    lines = read_record(folder / RECORD)
    evidence = Evidence(
        calls=[line for line in lines if isinstance(line, Call)],
        faults=[line for line in lines if isinstance(line, Fault)],
        keys=[line for line in lines if isinstance(line, Key)],
        begun=next((line for line in lines if isinstance(line, Begun)), None),
        ledger=list(read_jsonl(folder / LEDGER)),
        findings=list(read_jsonl(folder / FINDINGS)) if (folder / FINDINGS).exists() else None,
    )
    for row in read_jsonl(folder / DATABASE):
        evidence.tables[row.pop("table")].append(row)
    return evidence


def frame_of(seq: int, name: str, data: str) -> str:
    """An event as it stands in a stream, without the empty line that ends it."""
    return f"id: {seq}\nevent: {name}\ndata: {data}"


def clock(at: float) -> str:
    """A time of the record, for evidence."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%H:%M:%S.%f")[:-3]


def told(call: Call) -> str:
    """A call in one line of evidence."""
    answer = f"{call.status} {call.code or call.run_status}".strip() if call.status else f"no answer ({call.error})"
    return f"{clock(call.began)}-{clock(call.ended)} {call.client} {call.op} {call.run_id or call.path} {call.message[:60]!r}: {answer}"
