"""What reading one file may take."""

from __future__ import annotations

from dataclasses import dataclass

from pointsman.settings import Settings


@dataclass(frozen=True, slots=True)
class ParsingLimits:
    """Memory in MB, processor time and time by the clock in seconds, the text's bytes in UTF-8."""

    memory_mb: int = 512
    cpu_seconds: int = 60
    wall_seconds: float = 120.0
    text_bytes: int = 32 * 2**20
    pages: int = 5000
    pieces: int = 200_000

    @staticmethod
    def of(settings: Settings) -> ParsingLimits:
        """What the settings grant."""
        given = settings.knowledge
        return ParsingLimits(given.parse_memory_mb, given.parse_seconds, 2.0 * given.parse_seconds, given.text_mb * 2**20)
