"""A disk that is too small for a cluster, and one that fills up later."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.embedded_pg.embedded_pg_scene import Launch, Refusal, eventually, needs_mounts, with_mounts


def on_a_small_disk(new_dir: Path, megabytes: int) -> list[str]:
    new_dir.mkdir(exist_ok=True)
    return with_mounts(f"mount -t tmpfs -o size={megabytes}m,mode=755 tmpfs {new_dir}")


@needs_mounts
@pytest.mark.parametrize("megabytes", [1, 30])
def test_a_disk_too_small_for_a_cluster_is_named_and_a_larger_one_then_works(new_dir: Path, launch: Launch, megabytes: int) -> None:
    gateway = launch(new_dir, prefix=on_a_small_disk(new_dir, megabytes))
    with pytest.raises(Refusal, match="database-disk-full") as refusal:
        gateway.start()
    assert "Free some space" in refusal.value.hint
    assert "data" not in gateway.ask("run", argv=["ls", f"{new_dir}/pg"])
    assert any(level == "fail" and "MB are free" in sentence for level, sentence, _ in gateway.ask("diagnose"))

    gateway.ask("run", argv=["mount", "-o", "remount,size=200m", str(new_dir)])
    gateway.start()
    assert gateway.sql("select 1") == "1"


@needs_mounts
def test_a_disk_that_fills_up_costs_no_acknowledged_row_and_the_server_comes_back_with_the_space(new_dir: Path, launch: Launch) -> None:
    gateway = launch(new_dir, prefix=on_a_small_disk(new_dir, 150), max_wal_size="48MB", min_wal_size="32MB")
    gateway.start()
    gateway.ask("watch")
    gateway.sql("create table note as select 'kept' as text")
    gateway.sql("create table ballast (text text)")

    gateway.ask("run", argv=["sh", "-c", f"dd if=/dev/zero of={new_dir}/filler bs=1M 2>/dev/null || true"])
    complaint = ""
    for _ in range(40):
        complaint = gateway.complaint("insert into ballast select repeat(md5(n::text), 100) from generate_series(1, 20000) n")
        if complaint:
            break
    print(complaint)
    assert "No space left on device" in complaint or "server closed the connection" in complaint or "recovery" in complaint

    gateway.ask("run", argv=["rm", f"{new_dir}/filler"])
    eventually(lambda: gateway.ask("sql", text="select text from note")["out"] == "kept", seconds=30)
    gateway.sql("insert into note values ('and more')")


@needs_mounts
def test_starting_on_a_disk_that_is_full_by_now_says_so(new_dir: Path, launch: Launch) -> None:
    gateway = launch(new_dir, prefix=on_a_small_disk(new_dir, 150))
    gateway.start()
    gateway.sql("create table note as select 'kept' as text")
    gateway.stop()
    gateway.ask("run", argv=["sh", "-c", f"dd if=/dev/zero of={new_dir}/filler bs=4k 2>/dev/null || true"])
    with pytest.raises(Refusal, match="database-disk-full"):
        gateway.start()
    gateway.ask("run", argv=["rm", f"{new_dir}/filler"])
    gateway.start()
    assert gateway.sql("select text from note") == "kept"
