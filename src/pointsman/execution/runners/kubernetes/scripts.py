"""What the shell in a pod is told: by its standard input, since the address of a request stands in the cluster's audit log."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from pointsman.execution.runners.counters import COUNT
from pointsman.execution.runners.kubernetes.manifests import WORKSPACE
from pointsman.execution.runners.marks import END, MARK

LINKED = 66  # how unpacking ends where a folder is a link

# What every pod is told about its cluster, asked for or not.
_CLUSTER = " ".join(
    f"KUBERNETES_{name}"
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTPS",
        "PORT",
        "PORT_443_TCP",
        "PORT_443_TCP_PROTO",
        "PORT_443_TCP_PORT",
        "PORT_443_TCP_ADDR",
    )
)


def opening(script: str) -> tuple[list[str], bytes]:
    """The command of an exec, a constant but for a number, and what its standard input begins with: it reads the script and no more."""
    said = script.encode()
    return ["/bin/sh", "-c", f'eval "$(dd bs=1 count={len(said)} 2>/dev/null)"'], said


def run(argv: Sequence[str], *, cwd: str, env: Mapping[str, str], mark: str, stdin: int) -> str:
    """A command to its end, and the end of what it left behind. `stdin` is how many bytes of it follow the script.

    They are kept in a file that has no name any more when the command starts: the other end of an exec cannot be closed halfway.
    """
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in {"HOME": WORKSPACE, **env}.items() if name != MARK)
    kept = f"{WORKSPACE}/.stdin-{mark}"
    feed = f"head -c {stdin} >{kept} && exec <{kept} && rm -f {kept} || exit 126\n" if stdin else "exec </dev/null\n"
    return f"""{END}cd -- {WORKSPACE} && {feed}cd -- {shlex.quote(f"./{cwd}")} || exit 126
unset OLDPWD {_CLUSTER}
{exports}set -- {_quoted(argv)}
exec 3>&2 2>/dev/null
({MARK}='{mark};'; export {MARK}; exec "$@") 2>&3 3>&-
code=$?
end {mark}
exit $code
"""


def end_and_count(mark: str) -> str:
    """End what a command left; without a mark, everything but the container's first process. Prints the counters of memory."""
    ending = f"end {mark} || exit 1" if mark else "kill -9 -1 2>/dev/null"
    return f"{END}{ending}\n{COUNT}\n"


def unpack(folders: Sequence[str], size: int) -> str:
    """Unpack a tar of this many bytes that follows the script; ends with LINKED where one of the folders is a link."""
    named = _quoted([f"./{folder}" for folder in folders])
    return f"""cd -- {WORKSPACE} || exit 1
for folder in {named}; do [ ! -h "$folder" ] || exit {LINKED}; done
head -c {size} | tar -xpof -
"""


def pack(paths: Sequence[str]) -> str:
    """A tar of those paths that there are."""
    return f"""cd -- {WORKSPACE} || exit 1
set -- {_quoted([f"./{path}" for path in paths])}
left=$#
while [ "$left" -gt 0 ]; do
  path=$1; shift; left=$((left - 1))
  if [ -e "$path" ] || [ -h "$path" ]; then set -- "$@" "$path"; fi
done
[ $# -eq 0 ] || exec tar -cf - -- "$@"
"""


def _quoted(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
