"""The one suite of runners: what every target does alike."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import time

import pytest
from tests.conformance.scene import PYTHON, Ran, Scene, member, packed, python, run, spec, unpacked

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Exited

_SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
AWKWARD = [
    "",
    "two words",
    "  edges  ",
    "it's",
    'say "x"',
    "$HOME `id` $(id)",
    "a;b|c&d>e<f",
    "*?[a-z]{1,2}",
    "back\\slash\\",
    "new\nline",
    "\ttab\r",
    "-rf",
    "--",
    "Grüße 日本 🚂",
    "~",
    "#x",
    "!1",
    "%s%n",
    "a=b",
]


async def test_a_target_that_works_is_healthy(scene: Scene) -> None:
    health = await scene.runner.probe()
    assert health.status == "healthy", health.detail
    assert health.isolation
    assert health.latency_ms > 0


async def test_arguments_arrive_as_they_were_given(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        ran = await python(sandbox, _SHOW, *AWKWARD)
        assert json.loads(ran.stdout) == AWKWARD
    finally:
        await sandbox.close()


async def test_an_argument_may_be_a_hundred_kilobytes_long(scene: Scene) -> None:
    long = "ab'c \n$" * (100_000 // 7)
    sandbox = await scene.runner.open(spec())
    try:
        ran = await python(sandbox, "import sys, hashlib; print(hashlib.sha256(sys.argv[1].encode()).hexdigest(), len(sys.argv[1]))", long)
        assert ran.stdout.split()[1] == str(len(long)).encode()
    finally:
        await sandbox.close()


async def test_stdin_is_read_to_its_end(scene: Scene) -> None:
    data = bytes(range(256)) * 4000
    sandbox = await scene.runner.open(spec())
    try:
        ran = await run(sandbox, "wc", "-c", stdin=data)
        assert ran.stdout.split() == [str(len(data)).encode()]
        assert (await run(sandbox, "cat")).stdout == b""
    finally:
        await sandbox.close()


async def test_the_two_streams_are_kept_apart(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        ran = await run(sandbox, "sh", "-c", "printf out; printf err >&2; printf '\\000\\377'")
        assert (ran.stdout, ran.stderr) == (b"out\0\xff", b"err")
    finally:
        await sandbox.close()


async def test_output_comes_while_the_command_runs(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    heard = asyncio.Event()
    ran = Ran()

    def hear(_stream: object, data: bytes) -> None:
        ran.chunks.append(("stdout", data))
        heard.set()

    try:
        running = asyncio.create_task(sandbox.exec(["sh", "-c", "echo first; sleep 60"], on_output=hear))
        await asyncio.wait_for(heard.wait(), 30)
        assert ran.stdout == b"first\n"
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    finally:
        await sandbox.close()


async def test_much_output_arrives_whole(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    heard = [0]

    def count(_stream: object, data: bytes) -> None:
        heard[0] += len(data)

    try:
        await sandbox.exec(["head", "-c", "50000000", "/dev/zero"], on_output=count)
        assert heard == [50_000_000]
    finally:
        await sandbox.close()


@pytest.mark.parametrize("code", [0, 1, 2, 77, 125, 255])
async def test_the_exit_code_is_the_commands(scene: Scene, code: int) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        exited = (await run(sandbox, "sh", "-c", f"exit {code}")).exited
        assert exited is not None
        assert (exited.exit_code, exited.signal, exited.oom) == (code, None, None)
    finally:
        await sandbox.close()


async def test_a_program_that_is_not_there_fails_as_in_a_shell(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        ran = await run(sandbox, "no-such-program", "x")
        assert ran.code == 127
        assert b"no-such-program" in ran.stderr
        assert (await run(sandbox, "/tmp")).code == 126
    finally:
        await sandbox.close()


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"])
async def test_a_signal_is_told_as_one_and_never_as_memory(scene: Scene, name: str) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        ran = await python(sandbox, f"import os, signal; os.kill(os.getpid(), signal.{name})")
        assert ran.exited is not None
        assert (ran.exited.signal, ran.exited.exit_code, ran.exited.oom) == (name, None, None)
    finally:
        await sandbox.close()


async def test_commands_start_in_the_workspace_and_below_it(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await run(sandbox, "mkdir", "-p", "a/b c")
        top = (await run(sandbox, "pwd")).stdout.strip()
        assert (await run(sandbox, "pwd", cwd="a/b c")).stdout.strip() == top + b"/a/b c"
        assert (await run(sandbox, "pwd", cwd="missing")).code != 0
    finally:
        await sandbox.close()


async def test_the_workspace_lasts_from_one_command_to_the_next(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await run(sandbox, "sh", "-c", "echo kept > note; chmod 600 note")
        assert (await run(sandbox, "cat", "note")).stdout == b"kept\n"
    finally:
        await sandbox.close()


async def test_the_environment_is_what_was_given_and_no_more(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "x")
    sandbox = await scene.runner.open(spec(env={"GIVEN": "for all", "BOTH": "spec", "AWKWARD": "a b'c\n$d"}))
    try:
        ran = await python(sandbox, "import json, os; print(json.dumps(dict(os.environ)))", env={"ONCE": "é", "BOTH": "exec"})
        seen = json.loads(ran.stdout)
        assert seen.items() >= {"GIVEN": "for all", "BOTH": "exec", "AWKWARD": "a b'c\n$d", "ONCE": "é"}.items()
        assert seen.keys() - {"GIVEN", "BOTH", "AWKWARD", "ONCE"} <= scene.own_variables | {
            "PATH",
            "HOME",
            "HOSTNAME",
            "PWD",
            "USER",
            "LOGNAME",
            "SHELL",
            "LC_CTYPE",
        }
        assert "ONCE" not in (await run(sandbox, "env")).stdout.decode()
    finally:
        await sandbox.close()


async def test_no_name_of_ours_enters_a_sandbox(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with pytest.raises(SandboxRefused):
            await run(sandbox, "true", env={"POINTSMAN_DATABASE__URL": "postgresql://"})
    finally:
        await sandbox.close()


async def test_files_come_back_as_they_went_in(scene: Scene) -> None:
    archive = packed(
        member("dir", kind=tarfile.DIRTYPE, mode=0o755),
        member("dir/run.sh", b"#!/bin/sh\necho ran\n", 0o755),
        member("dir/private", b"\0\xff" * 1000, 0o600),
        member("dir/empty", b""),
        member("Grüße 日本/x y'z", b"unicode"),
        member("here", kind=tarfile.SYMTYPE, link="dir/run.sh"),
    )
    sandbox = await scene.runner.open(spec())
    try:
        await sandbox.upload(archive)
        assert (await run(sandbox, "dir/run.sh")).stdout == b"ran\n"
        found = unpacked(await sandbox.download())
        for name, (info, data) in unpacked(archive).items():
            assert found[name][1] == data
            assert found[name][0].type == info.type
            if info.isreg():
                assert found[name][0].mode & 0o777 == info.mode
        assert found["here"][0].linkname == "dir/run.sh"
    finally:
        await sandbox.close()


async def test_only_the_asked_paths_are_fetched_and_missing_ones_left_out(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await run(sandbox, "sh", "-c", "mkdir -p a/b; echo 1 > a/b/one; echo 2 > two; echo 3 > three")
        found = unpacked(await sandbox.download(["a/b", "two", "missing", "missing/too"]))
        assert {name for name, (info, _) in found.items() if info.isreg()} == {"a/b/one", "two"}
    finally:
        await sandbox.close()


async def test_a_file_replaces_the_one_of_its_name(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await sandbox.upload(packed(member("note", b"old and longer")))
        await sandbox.upload(packed(member("note", b"new")))
        assert (await run(sandbox, "cat", "note")).stdout == b"new"
    finally:
        await sandbox.close()


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside", b"x"),
        member("/etc/outside", b"x"),
        member("a/../../outside", b"x"),
        member("link", kind=tarfile.SYMTYPE, link="../outside"),
        member("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("a/link", kind=tarfile.SYMTYPE, link="../../outside"),
        member("hard", kind=tarfile.LNKTYPE, link="/etc/passwd"),
        member("hard", kind=tarfile.LNKTYPE, link="../outside"),
        member("null", kind=tarfile.CHRTYPE),
        member("disk", kind=tarfile.BLKTYPE),
        member("pipe", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad[0].name}-{bad[0].linkname or bad[0].type.decode()}",
)
async def test_what_leads_out_of_the_workspace_is_not_unpacked(scene: Scene, bad: tuple[tarfile.TarInfo, bytes]) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with pytest.raises(SandboxRefused):
            await sandbox.upload(packed(bad))
        assert (await run(sandbox, "sh", "-c", "ls .. | grep outside")).stdout == b""
    finally:
        await sandbox.close()


async def test_what_is_no_archive_is_refused(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with pytest.raises(SandboxRefused):
            await sandbox.upload(b"no tar at all" * 100)
    finally:
        await sandbox.close()


async def test_an_upload_does_not_follow_a_link_that_the_job_made(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await run(sandbox, "sh", "-c", "mkdir elsewhere; ln -s /tmp/planted file; ln -s elsewhere folder; ln -s /tmp out")
        await sandbox.upload(packed(member("file", b"safe")))
        assert (await run(sandbox, "sh", "-c", "test ! -L file && cat file")).stdout == b"safe"
        with pytest.raises((SandboxRefused, TargetFailed)):
            await sandbox.upload(packed(member("out/planted", b"x")))
        assert (await run(sandbox, "ls", "/tmp")).stdout.count(b"planted") == 0
    finally:
        await sandbox.close()


async def test_a_download_follows_no_link_and_takes_no_device(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await run(
            sandbox, "sh", "-c", "ln -s /etc/passwd out; ln -s .. up; mkfifo pipe; mkdir d; echo 1 > d/in; ln -s d/in near; ln d/in hard"
        )
        found = unpacked(await sandbox.download())
        assert {"out", "up", "pipe"} & found.keys() == set()
        assert found["near"][0].issym()
        assert not any(b"root:" in data for _, data in found.values())
    finally:
        await sandbox.close()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
async def test_nothing_outside_the_workspace_is_fetched(scene: Scene, path: str) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with pytest.raises((SandboxRefused, TargetFailed)):
            await sandbox.download([path])
    finally:
        await sandbox.close()


async def test_a_download_is_bounded(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        await run(sandbox, "sh", "-c", "head -c 3000000 /dev/urandom > big; echo 1 > small")
        with pytest.raises(TargetFailed):
            await sandbox.download(most=1_000_000)
        assert len(await sandbox.download(["small"], most=1_000_000)) <= 1_000_000
    finally:
        await sandbox.close()


async def test_running_out_of_memory_is_proved(scene: Scene) -> None:
    if not scene.bounds_memory:
        pytest.skip("nothing bounds the memory of this target")
    sandbox = await scene.runner.open(spec(memory_mb=64))
    try:
        exited = (await python(sandbox, "import time; x = bytearray(300 * 2**20); time.sleep(20)")).exited
        assert exited is not None
        assert exited.oom is not None, exited
        assert exited.oom.source
        assert exited.oom.detail
        if not scene.outlives_memory:
            await sandbox.close()
            sandbox = await scene.runner.open(spec(memory_mb=64))
        clean = (await python(sandbox, "import os; os.kill(os.getpid(), 9)")).exited
        assert clean is not None
        assert clean.oom is None
    finally:
        await sandbox.close()


async def test_processes_are_bounded(scene: Scene) -> None:
    if not scene.bounds_processes:
        pytest.skip("nothing bounds the processes of this target")
    program = """
import os, time
made = 0
try:
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(30); os._exit(0)
        made += 1
except OSError as error:
    print(made, error.errno)
"""
    sandbox = await scene.runner.open(spec(pids=32))
    try:
        made, code = (await python(sandbox, program)).stdout.split()
        assert 10 < int(made) < 40
        assert code == b"11"
    finally:
        await sandbox.close()


_STUBBORN = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(0)
        while True:
            with open("beat", "a") as file:
                file.write("x")
            time.sleep(0.05)
while not os.path.exists("beat"):
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(600 if sys.argv[1] == "stay" else 0.3)
"""


async def test_what_a_command_leaves_behind_ends_with_it(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        began = time.monotonic()
        assert (await python(sandbox, _STUBBORN, "go")).code == 0
        assert time.monotonic() - began < 30
        before = unpacked(await sandbox.download(["beat"]))["beat"][1]
        await asyncio.sleep(0.3)
        assert unpacked(await sandbox.download(["beat"]))["beat"][1] == before
    finally:
        await sandbox.close()


@pytest.mark.parametrize("way", ["cancel", "close", "reap"])
async def test_a_stubborn_tree_is_gone_within_two_seconds(scene: Scene, way: str) -> None:
    sandbox = await scene.runner.open(spec())
    ready = asyncio.Event()
    try:
        running = asyncio.create_task(sandbox.exec([PYTHON, "-c", _STUBBORN, "stay"], on_output=lambda _stream, _data: ready.set()))
        await asyncio.wait_for(ready.wait(), 30)
        began = time.monotonic()
        if way == "cancel":
            running.cancel()
        elif way == "close":
            await sandbox.close()
        else:
            await scene.other.reap(sandbox.handle)
        ended = (await asyncio.gather(running, return_exceptions=True))[0]
        assert time.monotonic() - began < 2.0
        if way == "cancel":
            assert isinstance(ended, asyncio.CancelledError)
            before = unpacked(await sandbox.download(["beat"]))["beat"][1]
            await asyncio.sleep(0.2)
            assert unpacked(await sandbox.download(["beat"]))["beat"][1] == before
        else:
            assert isinstance(ended, TargetFailed) or (isinstance(ended, Exited) and ended.signal == "SIGKILL"), ended
    finally:
        await sandbox.close()
    assert scene.leftovers() == []


async def test_after_a_cancel_the_sandbox_can_be_used_on(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        running = asyncio.create_task(run(sandbox, "sleep", "60"))
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.wait({running})
        assert (await run(sandbox, "echo", "on")).stdout == b"on\n"
    finally:
        await sandbox.close()


async def test_closing_and_reaping_are_repeatable(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    assert sandbox.handle in await scene.other.list_handles()
    await sandbox.close()
    await sandbox.close()
    await scene.runner.reap(sandbox.handle)
    await scene.other.reap(f"pm-{'0' * 8}-never-7")
    assert sandbox.handle not in await scene.other.list_handles()
    with pytest.raises(TargetFailed):
        await run(sandbox, "true")


async def test_another_worker_reaps_what_it_did_not_open(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    await run(sandbox, "sh", "-c", "mkdir -p d/e; echo x > d/e/f; chmod 000 d/e d")
    await scene.other.reap(sandbox.handle)
    assert sandbox.handle not in await scene.runner.list_handles()
    assert scene.leftovers() == []
    with pytest.raises(TargetFailed):
        await run(sandbox, "true")


async def test_a_handle_that_is_none_is_refused(scene: Scene) -> None:
    for handle in ("../../etc", "pm-../x-1", "other-1", "pm-a/b-1", ""):
        with pytest.raises((SandboxRefused, TargetFailed)):
            await scene.runner.reap(handle)


async def test_a_handle_is_opened_once(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with pytest.raises((SandboxRefused, TargetFailed)):
            await scene.other.open(spec(handle=sandbox.handle))
        assert (await run(sandbox, "echo", "mine")).stdout == b"mine\n"
    finally:
        await sandbox.close()


async def test_there_is_no_network_unless_it_is_granted(scene: Scene) -> None:
    if not scene.isolates:
        pytest.skip("this target keeps nothing apart")
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    program = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2).sendall(b'out')"
    sandbox = await scene.runner.open(spec())
    try:
        ran = await python(sandbox, program)
        assert ran.code == 1
        assert heard == []
    finally:
        await sandbox.close()
        server.close()
        await server.wait_closed()


async def test_sandboxes_beside_each_other_do_not_see_each_other(scene: Scene) -> None:
    if not scene.isolates:
        pytest.skip("this target keeps nothing apart")
    first, second = await asyncio.gather(scene.runner.open(spec()), scene.other.open(spec()))
    ready = asyncio.Event()
    program = "import time; open('/tmp/planted', 'w').write('x'); open('planted', 'w'); print('ready', flush=True); time.sleep(60)"
    running = asyncio.create_task(first.exec([PYTHON, "-c", program, "planted-process"], on_output=lambda _stream, _data: ready.set()))
    try:
        await asyncio.wait_for(ready.wait(), 30)
        ran = await run(second, "sh", "-c", "ls -A . /tmp; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert b"planted" not in ran.stdout
        assert b"planted" in (await run(first, "ls")).stdout
    finally:
        running.cancel()
        await asyncio.wait({running})
        await asyncio.gather(first.close(), second.close())


async def test_many_sandboxes_work_at_once(scene: Scene) -> None:
    async def one(number: int) -> bytes:
        sandbox = await scene.runner.open(spec())
        try:
            return (await run(sandbox, "sh", "-c", f"echo {number} > n; sleep 0.1; cat n")).stdout.strip()
        finally:
            await sandbox.close()

    assert await asyncio.gather(*map(one, range(6))) == [str(number).encode() for number in range(6)]


async def test_the_most_memory_that_was_used_is_told(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec(memory_mb=256))
    try:
        await python(sandbox, "x = bytearray(80 * 2**20); import time; time.sleep(0.3)")
        peak = await sandbox.peak_memory_mb()
        assert peak is None or 70 < peak <= 256
    finally:
        await sandbox.close()


@pytest.mark.parametrize("argv", [[], [""], ["echo", "a\0b"]], ids=["nothing", "empty", "nul"])
async def test_what_no_kernel_runs_is_refused(scene: Scene, argv: list[str]) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with pytest.raises(SandboxRefused):
            await sandbox.exec(argv, on_output=lambda _stream, _data: None)
    finally:
        await sandbox.close()


async def test_an_empty_workspace_is_an_empty_archive(scene: Scene) -> None:
    sandbox = await scene.runner.open(spec())
    try:
        with tarfile.open(fileobj=io.BytesIO(await sandbox.download())) as tar:
            assert [name for name in tar.getnames() if name not in (".", "")] == []
    finally:
        await sandbox.close()
