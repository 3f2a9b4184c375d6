"""Watches a running command where the kernel does not hold its bounds: its disk always, its memory where there is no cgroup."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pointsman.execution.ports import OutOfMemory
from pointsman.execution.runners.local.measuring import estimate_memory, list_descendants, measure_disk, measure_memory

_PAUSE = {"disk": 0.25, "memory": 0.1}  # seconds between two looks
_SHARE = 10  # a look that takes long is followed by a pause this many times as long
_MB = 2**20
_LEAST_ENTRIES, _ENTRIES_PER_MB = 10_000, 128


@dataclass(frozen=True, slots=True)
class Excess:
    """A bound that was passed; `oom` where it was that of memory."""

    detail: str
    oom: OutOfMemory | None = None


@dataclass(slots=True)
class Watch:
    """The bounds of one sandbox. `processes` lists what runs in it; without a memory bound (None) the kernel holds that."""

    workspace: Path
    disk_mb: int
    memory_mb: int | None
    peak_mb: int = 0

    async def wait(self, processes: Callable[[], list[int]]) -> Excess:
        """Wait until a bound is passed."""
        looks = [self._look("disk", lambda: self._judge_disk(processes()))]
        if self.memory_mb is not None:
            limit = self.memory_mb
            looks.append(self._look("memory", lambda: self._judge_memory(processes(), limit)))
        tasks = [asyncio.create_task(look) for look in looks]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, kind: str, judge: Callable[[], Excess | None]) -> Excess:
        pause = _PAUSE[kind]
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            if (excess := await asyncio.to_thread(judge)) is not None:
                return excess
            pause = max(_PAUSE[kind], _SHARE * (time.monotonic() - began))

    def _judge_disk(self, processes: list[int]) -> Excess | None:
        entries = max(_LEAST_ENTRIES, self.disk_mb * _ENTRIES_PER_MB)
        try:
            use = measure_disk(self.workspace, processes, entries)
        except OSError:  # it was reaped, and the command with it
            return None
        if use.size > self.disk_mb * _MB:
            return Excess(f"its files take {use.size // _MB} MB, of {self.disk_mb} MB allowed")
        if use.entries > entries:
            return Excess(f"it made more than {entries} files")
        return Excess("its folders are nested too deeply") if use.deep else None

    def _judge_memory(self, processes: list[int], limit_mb: int) -> Excess | None:
        used = estimate_memory(processes)
        if used > limit_mb * _MB:
            used = measure_memory(processes)
        self.peak_mb = max(self.peak_mb, used // _MB)
        if used <= limit_mb * _MB:
            return None
        detail = f"{used // _MB} MB in use, limit {limit_mb} MB"
        return Excess(f"it ran out of memory: {detail}", OutOfMemory("watchdog", detail))


def running_below(inits: set[int]) -> list[int]:
    """Every process below these."""
    return [pid for init in inits for pid in list_descendants(init)]
