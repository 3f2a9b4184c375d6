"""How a command ends: the one table of exit codes, and errors as two lines instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import TracebackType

from pointsman.cli.output import say, style
from pointsman.client import ProblemResponse
from pointsman.kit.problems import Kind, Problem

FAILED = 1
INTERRUPTED = 130

EXIT_CODE: Mapping[Kind, int] = {
    Kind.INTERNAL: FAILED,
    Kind.MALFORMED: 2,
    Kind.INVALID: 2,
    Kind.TOO_LARGE: 2,
    Kind.UNSUPPORTED: 2,
    Kind.METHOD: 2,
    Kind.NOT_ACCEPTABLE: 2,
    Kind.UNAUTHENTICATED: 3,
    Kind.FORBIDDEN: 3,
    Kind.NOT_FOUND: 4,
    Kind.GONE: 4,
    Kind.CONFLICT: 5,
    Kind.LIMITED: 6,
    Kind.UNAVAILABLE: 7,
    Kind.UPSTREAM: 8,
    Kind.UPSTREAM_TIMEOUT: 8,
}
"""2 is also what a wrong option ends with; 0 is success; 1 is also a check that found something; 130 is Ctrl-C."""


class CommandRefused(Problem):
    """The command cannot do what it was told: an option, a file or what was typed is not usable, or two options contradict each other.

    Nothing was done. The detail says which, `--help` on the command says what it takes.
    """

    kind = Kind.INVALID
    code = "command-refused"
    title = "The command cannot do that"


def guarded(run: Callable[[], object]) -> None:
    """Run a command line; a problem ends the process with its code, a defect with a short message."""
    sys.excepthook = _defect
    try:
        run()
    except (Problem, ProblemResponse) as problem:
        sys.exit(tell(problem))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has enough; what is left in the buffer would complain once more at the end.
        sys.stdout = None
        sys.exit(FAILED)


def tell(problem: Problem | ProblemResponse) -> int:
    """Say on standard error what is wrong and what to do; the exit code for it."""
    say(f"{style('error:', 'red')} {problem.detail}")
    for pointer, message in problem.errors:
        say(f"  {pointer}: {message}")
    if problem.hint:
        say(f"{style('hint:', 'yellow')} {problem.hint}")
    if problem.retry_after:
        say(f"{style('hint:', 'yellow')} Try again in {problem.retry_after:.0f} s.")
    if problem.kind is Kind.INTERNAL and isinstance(problem, ProblemResponse):
        say(f"{style('hint:', 'yellow')} The gateway's log has more under request_id {problem.request_id}.")
    return EXIT_CODE[problem.kind]


def _defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
        return
    say(f"{style('error:', 'red')} unexpected {kind.__name__}: {error}")
    say(f"{style('hint:', 'yellow')} This is a defect. `pointsman --debug {' '.join(sys.argv[1:2])} …` shows where it happened.")
