"""What an attempt to get out is: a program that runs inside, and says `ESCAPED` where it succeeds and `TRIED` once it has tried."""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
import ctypes, errno, fcntl, json, os, signal, socket, stat, struct, subprocess, sys, threading, time
HOST = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)

def escaped(what):
    print("ESCAPED", what, flush=True)

def attempt(what, action, *arguments):
    try:
        got = action(*arguments)
    except (OSError, ValueError) as error:
        print("refused:", what, "-", error, flush=True)
        return None
    if got is not False and got != b"" and got != "" and got != []:
        escaped(f"{what}: {str(got)[:100]}")
    return got

def call(name, *arguments):
    return checked(getattr(libc, name)(*arguments))

def system_call(number, *arguments):
    return checked(libc.syscall(ctypes.c_long(number), *arguments))

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f"answered {result}"

def read(path, most=100):
    with open(path, "rb") as file:
        return file.read(most)

def write(path, text="1"):
    with open(path, "w") as file:
        file.write(text)
    return "written"

def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]

X86 = os.uname().machine == "x86_64"
"""


@dataclass(frozen=True)
class Attempt:
    """One attempt: `program` follows the prelude. `lasts` marks one that goes on until it is ended, by a bound or after `seconds`."""

    name: str
    program: str
    lasts: bool = False
    seconds: float = 20.0

    @property
    def text(self) -> str:
        return f"{PRELUDE}\n{self.program}\nprint('TRIED', flush=True)\n"


def table(programs: dict[str, str], *, lasts: bool = False, seconds: float = 20.0) -> list[Attempt]:
    """Attempts of one sort, by name."""
    return [Attempt(name, program, lasts, seconds) for name, program in programs.items()]
