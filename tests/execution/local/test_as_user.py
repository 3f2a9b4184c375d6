"""The suite of runners once more, by a worker that is not root and has no cgroups."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.embedded_pg.embedded_pg_scene import SOURCE, as_user, needs_root, python_for_everybody, site_root

ROOT = Path(__file__).parents[3]


@needs_root
@pytest.mark.timeout(400)
def test_a_worker_that_is_not_root_passes_the_suite() -> None:
    python = python_for_everybody()
    if python is None:
        pytest.skip("no Python >= 3.11 on this machine can be run, with this checkout, by a normal user")
    suite = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/conformance", "-k", "local"]
    environment = {
        "PYTHONPATH": f"{SOURCE}:{site_root()}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",
    }
    ended = subprocess.run(
        [*as_user(), python, *suite], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=380, check=False
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed is not None
    assert int(passed[1]) >= 100
