"""`pointsman jobs` against a gateway and a worker that were started by `pointsman up`: what is printed where, and exit codes."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

from tests.cli.cli_scene import Scene


def test_a_job_is_submitted_and_watched_to_its_end(scene: Scene) -> None:
    done = scene.cli.run("jobs", "submit", "--watch", "--", "sh", "-c", "echo hello; echo oops >&2")
    assert sorted(done.stdout.splitlines()) == ["hello", "oops"]
    assert "job.finished" in done.stderr
    assert "status=completed" in done.stderr
    failed = scene.cli.run("jobs", "submit", "--watch", "--", "sh", "-c", "exit 3", expect=1)
    assert "is failed: exit 3" in failed.stderr


def test_a_job_is_listed_shown_followed_again_and_tried_again(scene: Scene) -> None:
    cli = scene.cli
    job = cli.run("jobs", "submit", "--target", "local", "--priority", "7", "--memory", "64", "--", "false").stdout.strip()
    cli.run("jobs", "watch", job, expect=1)
    shown = json.loads(cli.run("jobs", "show", job, "--json").stdout)
    assert (shown["status"], shown["priority"], shown["attempts"][0]["memory_limit_mb"]) == ("failed", 7, 64)
    lines = [json.loads(line) for line in cli.run("jobs", "watch", job, "--json", expect=1).stdout.splitlines()]
    assert [line["event"] for line in lines] == ["job.queued", "job.started", "job.finished"]
    after = [json.loads(line) for line in cli.run("jobs", "watch", job, "--after", "2", "--json", expect=1).stdout.splitlines()]
    assert after == lines[2:]
    assert job in cli.run("jobs", "list", "--status", "failed").stdout
    assert re.search("is (queued|running|failed)", cli.run("jobs", "retry", job).stderr)  # a worker may be quicker than the answer
    cli.run("jobs", "watch", job, expect=1)
    assert [one["number"] for one in json.loads(cli.run("jobs", "show", job, "--json").stdout)["attempts"]] == [1, 2]
    assert "cannot be cancelled" in cli.run("jobs", "cancel", job, expect=5).stderr


def test_files_go_in_and_come_out(scene: Scene, tmp_path: Path) -> None:
    given, taken = tmp_path / "given.tar", tmp_path / "taken.tar"
    with tarfile.open(given, "w") as archive:
        info = tarfile.TarInfo("name.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"Dana\n"))
    command = ("sh", "-c", "sed 's/^/Hello /' name.txt > greeting.txt")
    job = json.loads(scene.cli.run("jobs", "submit", "--workspace", str(given), "--json", "--", *command).stdout)["id"]
    scene.cli.run("jobs", "watch", job)
    scene.cli.run("jobs", "workspace", job, str(taken))
    with tarfile.open(taken) as archive:
        found = archive.extractfile("greeting.txt")
        assert found is not None
        assert found.read() == b"Hello Dana\n"


def test_a_running_job_is_cancelled(scene: Scene) -> None:
    job = scene.cli.run("jobs", "submit", "--", "sleep", "60").stdout.strip()
    assert "is failed" in scene.cli.run("jobs", "cancel", job).stderr
    assert "cancelled" in json.loads(scene.cli.run("jobs", "show", job, "--json").stdout)["last_failure_reason"]


def test_a_typo_is_told_with_what_was_meant(scene: Scene) -> None:
    assert "Did you mean 'local'?" in scene.cli.run("jobs", "submit", "--target", "locl", "--", "true", expect=2).stderr
    assert "no length of time" in scene.cli.run("jobs", "submit", "--timeout", "soon", "--", "true", expect=2).stderr
    scene.cli.run("jobs", "show", "nothing", expect=4)
