"""What is said to the shell of an SSH host. Every word of a request is quoted here, and nowhere else.

A script is not an argument of the remote command, where everybody on that host could read it: it is the beginning of its standard input.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pointsman.execution.ports import SandboxSpec

MARK = "SANDBOX_ID"
MISSING, TAKEN, LINKED = 64, 65, 66  # how scripts here end where a folder is not there, is not ours alone, or is a link
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = "--user --map-current-user --pid --fork --kill-child --mount-proc --ipc"

# Ends every process but this shell that carries a mark; those that fork meanwhile are found by the next look.
_END = """end() {
  turn=0
  while [ "$turn" -lt 40 ]; do
    left= turn=$((turn + 1))
    for file in $(grep -lsF -- "$1" /proc/[0-9]*/environ); do
      pid=${file#/proc/}; pid=${pid%/environ}
      [ "$pid" = $$ ] || { kill -9 "$pid" && left=1; }
    done
    [ "$left" ] || return 0
    sleep 0.02
  done 2>/dev/null
  return 1
}
"""

# `exec` finds programs, never the shell's own commands; what the shell has to say after that goes nowhere.
_RUN = 'exec 3>&2 2>/dev/null\n(exec "$@") 2>&3 3>&-\n'


@dataclass(frozen=True, slots=True)
class Place:
    """Where one sandbox is on its host; `handle` is a plain name."""

    root: str
    handle: str

    @property
    def folder(self) -> str:
        return f"{self.root}/{self.handle}"

    @property
    def temporary(self) -> str:
        return f"{self.folder}/tmp"  # noqa: S108 - below the account's own folder

    @property
    def workspace(self) -> str:
        return f"{self.folder}/work"


def opening(script: str, mark: str = "") -> tuple[str, bytes]:
    """The remote command that runs a script, and what its standard input begins with.

    The command is a constant but for a number and a mark. It starts with an environment that holds nothing else, and reads exactly the
    script: what follows belongs to the command that the script starts.
    """
    said = script.encode()
    marked = f" {MARK}={shlex.quote(mark)}" if mark else ""
    return f"exec env -i PATH={_PATH}{marked} /bin/sh -c 'eval \"$(dd bs=1 count={len(said)} 2>/dev/null)\"'", said


def look() -> str:
    """Which namespaces an account may have there: prints the host's name, then `namespaces` or `none`."""
    return f"uname -n\nif unshare {_NAMESPACES} --net -- prlimit --nproc=64 -- true 2>/dev/null; then echo namespaces; else echo none; fi\n"


def make_folders(place: Place) -> str:
    """Make the sandbox's folders; ends with TAKEN where the root is somebody else's or the handle exists."""
    root = shlex.quote(place.root)
    return f"""umask 077
mkdir -p -- {root}
[ -d {root} ] && [ ! -h {root} ] && [ -O {root} ] && chmod 700 -- {root} || exit {TAKEN}
mkdir -- {shlex.quote(place.folder)} || exit {TAKEN}
cd -- {shlex.quote(place.folder)} && mkdir work tmp
"""


def run(place: Place, spec: SandboxSpec, argv: Sequence[str], *, number: int, cwd: str, env: Mapping[str, str], namespaces: bool) -> str:
    """A command of the sandbox, to its end, and the end of what it leaves behind. It is opened with its mark."""
    places = {"HOME": place.workspace, "TMPDIR": place.temporary}
    exports = "".join(_export(name, value) for name, value in {**places, **spec.env, **env}.items() if name != MARK)
    limits = f"ulimit -c 0\nulimit -f {spec.disk_mb * 2048}\nulimit -v {spec.memory_mb * 1024}\n"
    start = (
        f"cd -- {shlex.quote(place.workspace)} 2>/dev/null || exit {MISSING}\ncd -- {shlex.quote(f'./{cwd}')} || exit 126\nunset OLDPWD\n"
    )
    head = f"{start}{exports}{limits}"
    words = _quoted(argv)
    if namespaces:
        network = "" if spec.network else " --net"
        inner = shlex.quote(f"{_RUN}exit $?")
        return f"{head}exec unshare {_NAMESPACES}{network} -- prlimit --nproc={spec.pids} -- /bin/sh -c {inner} sh {words}\n"
    # Marked are the command's processes and this shell, which another script may have to end, but not what the shell itself starts.
    marked = _RUN.replace("(", f"({MARK}=$mark; export {MARK}; ", 1)
    return f"{_END}{head}mark=${MARK}; unset {MARK}\nset -- {words}\n{marked}code=$?\n{_end(place, number)}exit $code\n"


def end(place: Place, number: int | None = None) -> str:
    """End a command, or without a number all of the sandbox; ends with 1 where something is still there."""
    return f"{_END}{_end(place, number)}"


def remove(place: Place) -> str:
    """End all of the sandbox and remove its folder, also where its owner's rights were taken from parts of it."""
    folder = shlex.quote(place.folder)
    clear = f"rm -rf -- {folder} 2>/dev/null || {{ chmod -R u+rwx -- {folder} 2>/dev/null; rm -rf -- {folder}; }}"
    return f"{_END}{_end(place)}[ $? = 0 ] || exit 1\n{clear}\n"


def is_there(place: Place) -> str:
    """Ends with 0 where the sandbox's workspace exists."""
    return f"[ -d {shlex.quote(place.workspace)} ]\n"


def unpack(place: Place, folders: Sequence[str]) -> str:
    """Unpack a tar from standard input; ends with LINKED where one of the folders is a link."""
    return f"""cd -- {shlex.quote(place.workspace)} || exit {MISSING}
for folder in {_quoted([f"./{folder}" for folder in folders])}; do [ ! -h "$folder" ] || exit {LINKED}; done
exec tar -xpof -
"""


def pack(place: Place, paths: Sequence[str]) -> str:
    """A tar of those paths that there are."""
    words = _quoted([f"./{path}" for path in paths])
    return f"""cd -- {shlex.quote(place.workspace)} || exit {MISSING}
set -- {words}
left=$#
while [ "$left" -gt 0 ]; do
  path=$1; shift; left=$((left - 1))
  if [ -e "$path" ] || [ -h "$path" ]; then set -- "$@" "$path"; fi
done
[ $# -eq 0 ] || exec tar -cf - -- "$@"
"""


def names(root: str, prefix: str) -> str:
    """Print the names of sandboxes that begin so; probes that nobody removed go."""
    return f"""cd -- {shlex.quote(root)} 2>/dev/null || exit 0
find . -maxdepth 1 -name 'probe-*' -mmin +10 -exec rm -rf -- {{}} +
for name in {shlex.quote(prefix)}*; do [ -d "$name" ] && echo "$name"; done
exit 0
"""


def mark(place: Place, number: int | None = None) -> str:
    """What the environment of a command's processes says; without a number, what it begins with all over the sandbox."""
    return f"{place.handle};" if number is None else f"{place.handle};{number};"


def _end(place: Place, number: int | None = None) -> str:
    return f"end {shlex.quote(f'{MARK}={mark(place, number)}')}\n"


def _export(name: str, value: str) -> str:
    return f"export {name}={_quoted([value])}\n"


def _quoted(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
