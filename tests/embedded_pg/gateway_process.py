"""A stand-in for a gateway: uses the embedded server in a process of its own and obeys JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pointsman.kit.embedded_pg import EmbeddedPostgres, diagnose, find_dsn, tool
from pointsman.kit.problems import Problem

told: list[str] = []


def obey(postgres: EmbeddedPostgres, data_dir: Path, order: dict[str, Any]) -> Any:  # noqa: PLR0911 - one line for each order
    match order["do"]:
        case "start":
            return postgres.start(timedelta(seconds=order["timeout"]))
        case "watch":
            return postgres.watch()
        case "stop":
            return postgres.stop()
        case "sql":
            argv, environment = tool("psql", postgres.dsn, "-XAtq", "-c", order["text"])
            result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
            return {"out": result.stdout.strip(), "err": result.stderr.strip()}
        case "diagnose":
            return [[finding.level.value, finding.sentence, finding.remedy] for finding in diagnose(data_dir)]
        case "find_dsn":
            return find_dsn(data_dir)
        case "told":
            return told
        case "run":
            return subprocess.run(order["argv"], capture_output=True, text=True, check=False).stdout
        case unknown:
            raise ValueError(unknown)


def answer(postgres: EmbeddedPostgres, data_dir: Path, order: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": obey(postgres, data_dir, order)}
    except Problem as problem:
        return {"problem": problem.code, "detail": problem.detail, "hint": problem.hint}


def main() -> None:
    data_dir = Path(sys.argv[1])
    postgres = EmbeddedPostgres(data_dir, log=told.append, extra_options=json.loads(sys.argv[2]))
    print(json.dumps({"answer": os.getpid()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(postgres, data_dir, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
