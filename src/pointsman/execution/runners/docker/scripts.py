"""What the shell in a container is told, with its builtins alone: an image need not have more than a shell."""

from __future__ import annotations

from pointsman.execution.runners.counters import COUNT
from pointsman.execution.runners.marks import END, MARK

# Arguments: folder, file for stdin or nothing, mark, command. The shell waits for the command and ends what it left behind, which would
# hold the output open. `exec` finds programs, never the shell's own commands; what the shell itself has to say goes nowhere.
RUN = f"""{END}cd -- "$1" || exit 126
unset OLDPWD
[ -z "$2" ] || {{ exec <"$2" && rm -f -- "$2"; }}
mark=$3
shift 3
exec 3>&2 2>/dev/null
(export {MARK}="$mark;"; exec "$@") 2>&3 3>&-
code=$?
end "$mark"
exit $code"""

# Argument: the mark of the command that is over, or nothing where no other runs: then everything goes that this account may end.
END_AND_COUNT = f"""{END}if [ "$1" ]; then end "$1" || exit 1; else kill -9 -1 2>/dev/null; fi
{COUNT}"""

# Arguments: folders. Ends with 1 where one of them is a link.
NO_LINKS = 'for folder; do [ ! -h "$folder" ] || exit 1; done'


def shell(script: str, *arguments: str) -> list[str]:
    """The command that runs a script."""
    return ["/bin/sh", "-c", script, "sh", *arguments]
