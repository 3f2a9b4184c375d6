"""Pictures of the report: bars as SVG, drawn without a library."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from benchmarks.results import Row

_COLOURS = ("#4c6a92", "#b5892e", "#6b8e5a", "#9a5b6e")
_WIDTH, _LABEL, _BAR, _GAP = 860, 200, 16, 14


def draw(folder: Path, rows: list[Row]) -> list[str]:
    """Write the pictures for which there are rows; returns their names."""
    pictures = {
        "requests.svg": ("Requests per second", _with(rows, "requests_per_second", _is_call), _value("requests_per_second")),
        "cost.svg": ("CPU ms per request, gateway and database", _with(rows, "cpu_ms", _is_call), _cost),
        "streams.svg": ("Tokens per second", _with(rows, "tokens_per_second", _is_stream), _value("tokens_per_second")),
        "growth.svg": ("CPU ms per chat, gateway and database, as the database fills", _with(rows, "cpu_ms", _is_growth), _cost),
    }
    drawn = {name: (title, chosen, value) for name, (title, chosen, value) in pictures.items() if chosen}
    for name, (title, chosen, value) in drawn.items():
        (folder / name).write_text(_bars(title, chosen, value))
    return list(drawn)


def _is_call(row: Row) -> bool:
    return not _is_stream(row) and not _is_growth(row)


def _is_stream(row: Row) -> bool:
    return row.name.startswith("stream")


def _is_growth(row: Row) -> bool:
    return row.name.startswith("growth")


def _with(rows: list[Row], value: str, wanted: Callable[[Row], bool]) -> list[Row]:
    return [row for row in rows if wanted(row) and any(value in side for side in row.sides.values())]


def _value(name: str) -> Callable[[dict[str, float]], float]:
    return lambda side: side.get(name, 0.0)


def _cost(side: dict[str, float]) -> float:
    return side.get("cpu_ms", 0.0) + side.get("database_cpu_ms", 0.0)


def _bars(title: str, rows: list[Row], value: Callable[[dict[str, float]], float]) -> str:
    most = max(value(side) for row in rows for side in row.sides.values()) or 1.0
    parts: list[str] = [_text(10, 22, title, size=15)]
    y = 44
    for row in rows:
        for index, (name, side) in enumerate(row.sides.items()):
            figure = value(side)
            length = (_WIDTH - _LABEL - 90) * figure / most
            parts.append(_text(10, y + 12, f"{row.name} {name}"))
            parts.append(f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR - 3}" fill="{_COLOURS[index % len(_COLOURS)]}"/>')
            parts.append(_text(_LABEL + length + 6, y + 12, f"{figure:,.2f}" if figure < 100 else f"{figure:,.0f}"))
            y += _BAR
        y += _GAP
    style = 'font-family="sans-serif" fill="#222"'
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" {style}>'
    return "\n".join([frame, f'<rect width="{_WIDTH}" height="{y}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, *, size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(text)}</text>'
