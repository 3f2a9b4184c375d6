"""What a container's own cgroup says about its memory, read from inside."""

from __future__ import annotations

from dataclasses import dataclass

COUNT = """cd /sys/fs/cgroup || exit 0
for file in memory/memory.oom_control memory/memory.max_usage_in_bytes memory.events memory.peak; do
  [ -r "$file" ] && while read -r line; do echo "$file $line"; done <"$file"
done
exit 0"""

# What each hierarchy calls it: version 1, version 2.
_KILLS = ("memory/memory.oom_control oom_kill", "memory.events oom_kill")
_PEAKS = ("memory/memory.max_usage_in_bytes", "memory.peak")


@dataclass(frozen=True, slots=True)
class Counters:
    """How often the memory limit has ended a process here, and the most memory used in bytes; None where the host does not say."""

    oom_kills: int | None = None
    peak: int | None = None

    @classmethod
    def read(cls, text: str) -> Counters:
        """From what END_AND_COUNT printed."""
        told: dict[str, int] = {}
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if value.isdecimal():
                told[name] = int(value)
        return cls(_first(told, _KILLS), _first(told, _PEAKS))


def _first(told: dict[str, int], names: tuple[str, ...]) -> int | None:
    return next((told[name] for name in names if name in told), None)
