"""Workspaces as tars: what must not be unpacked, and whose it is."""

from __future__ import annotations

import io
import tarfile

import pytest

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.runners.archives import gathered, inside, owned, single


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode, made.uid = kind, link, mode, 12
    return made


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "a/../../b", "a\0b"])
def test_a_path_that_leads_out_of_the_workspace_is_refused(path: str) -> None:
    with pytest.raises(SandboxRefused):
        inside(path)


@pytest.mark.parametrize(("path", "meant"), [("", "."), (".", "."), ("./a//b/", "a/b"), ("a/./b", "a/b"), ("-x", "-x")])
def test_paths_are_written_one_way(path: str, meant: str) -> None:
    assert inside(path) == meant


def test_what_goes_in_belongs_to_the_sandbox_and_is_not_setuid() -> None:
    packed = owned(tar_of((member("a/run", mode=0o4755), b"x"), (member(".", kind=tarfile.DIRTYPE, mode=0o777), b"")), uid=7, gid=8)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert [(each.name, each.uid, each.gid, oct(each.mode)) for each in archive] == [("a/run", 7, 8, "0o755")]


@pytest.mark.parametrize(
    "bad",
    [
        member("/etc/cron.d/x"),
        member("../x"),
        member("device", kind=tarfile.CHRTYPE),
        member("pipe", kind=tarfile.FIFOTYPE),
        member("link", kind=tarfile.LNKTYPE, link="../../etc/shadow"),
    ],
    ids=["absolute", "above", "device", "pipe", "hard link to above"],
)
def test_what_must_not_be_unpacked_is_refused(bad: tarfile.TarInfo) -> None:
    with pytest.raises(SandboxRefused):
        owned(tar_of((bad, b"")), uid=1, gid=1)


def test_what_is_no_tar_is_refused() -> None:
    with pytest.raises(SandboxRefused):
        owned(b"not a tar" * 200, uid=1, gid=1)


def test_what_comes_out_of_several_places_is_one_tar_without_devices() -> None:
    odd = tar_of((member("c"), b"1"), (member("pipe", kind=tarfile.FIFOTYPE), b""))
    assert names(gathered([("a/b", odd), (".", single("./d", b"2"))])) == ["a/b/c", "d"]
    assert names(gathered(())) == []


def test_what_a_target_sends_and_is_no_tar_is_the_targets_failure() -> None:
    with pytest.raises(TargetFailed):
        gathered([(".", b"no tar at all" * 100)])
