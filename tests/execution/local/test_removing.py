"""Removing what a job left."""

from __future__ import annotations

import os
from pathlib import Path

from pointsman.execution.runners.local.removing import remove_tree


def test_folders_three_thousand_deep_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    home = os.open(".", os.O_RDONLY)
    try:
        os.chdir(top)
        for _ in range(3000):
            Path("d").mkdir()
            os.chdir("d")
        Path("file").touch()
    finally:
        os.fchdir(home)
        os.close(home)
    remove_tree(top)
    assert not top.exists()


def test_a_removal_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for name in (".pointsman-removed-0", ".pointsman-removed-7", "a/b/c", "a/.pointsman-removed-8/d"):
        (top / name).mkdir(parents=True)
    (top / ".pointsman-removed-x").touch()
    remove_tree(top)
    assert not top.exists()
    remove_tree(top)


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(outside)
    (top / "d").mkdir()
    (top / "d" / "link").symlink_to(outside)
    os.mkfifo(top / "pipe")
    (top / "d").chmod(0)
    remove_tree(top)
    assert not top.exists()
    assert (outside / "kept").exists()
