"""Small SVG charts without a library: lines over time, bars over names; readable in a browser and beside Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 300, 60, 36, 40
_COLOURS = ("#1f6feb", "#d1495b", "#2e8b57", "#b8860b", "#6f42c1", "#555555")
Points = Sequence[tuple[float, float]]


def lines(title: str, series: Mapping[str, Points], *, x: str, y: str) -> str:
    """An SVG with one line per series; `x` and `y` name the axes with their units."""
    points = [point for line in series.values() for point in line]
    left, right = min((point[0] for point in points), default=0.0), max((point[0] for point in points), default=1.0)
    top = max((point[1] for point in points), default=0.0) or 1.0
    parts: list[str] = []
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{_across(at, left, right):.1f},{_down(value, top):.1f}" for at, value in line)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{path}"/>')
        parts.append(_text(_WIDTH - 12, _TOP + 14 * number, name, "end", colour))
    parts += [_text(_LEFT, _HEIGHT - 22, f"{left:.4g}", "start"), _text(_WIDTH - 12, _HEIGHT - 22, f"{right:.4g}", "end")]
    return _framed(title, parts, x, y, top)


def bars(title: str, values: Mapping[str, float], *, x: str, y: str) -> str:
    """An SVG with one bar per name."""
    top = max(values.values(), default=0.0) or 1.0
    step = (_WIDTH - _LEFT - 12) / max(1, len(values))
    parts: list[str] = []
    for number, (name, value) in enumerate(values.items()):
        at, height = _LEFT + number * step, _HEIGHT - _BOTTOM - _down(value, top)
        parts.append(
            f'<rect fill="{_COLOURS[0]}" x="{at + 1:.1f}" y="{_down(value, top):.1f}" width="{max(1.0, step - 2):.1f}" '
            f'height="{height:.1f}">'
            f"<title>{escape(name)}: {value:.4g}</title></rect>"
        )
        if len(values) <= 24:
            parts.append(_text(at + step / 2, _HEIGHT - 26, name, "middle"))
    return _framed(title, parts, x, y, top)


def histogram(title: str, values: Sequence[float], *, x: str, y: str, bins: int = 20) -> str:
    """Bars that say how many of the values lie where."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    width = (high - low) / bins or 1.0
    counts = {f"{low + number * width:.2f}": 0.0 for number in range(bins)}
    names = list(counts)
    for value in values:
        counts[names[min(bins - 1, int((value - low) / width))]] += 1
    return bars(title, counts, x=x, y=y)


def _across(value: float, left: float, right: float) -> float:
    return _LEFT + (value - left) / ((right - left) or 1.0) * (_WIDTH - _LEFT - 12)


def _down(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _framed(title: str, parts: list[str], x: str, y: str, top: float) -> str:
    floor = _HEIGHT - _BOTTOM
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            f'<path d="M{_LEFT} {_TOP}V{floor}H{_WIDTH - 12}" fill="none" stroke="#333"/>',
            f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
            _text(_LEFT - 4, _TOP + 4, f"{top:.4g}", "end"),
            _text(_LEFT - 4, floor, "0", "end"),
            _text(_LEFT, _TOP - 4, y, "start"),
            _text(_WIDTH / 2, _HEIGHT - 6, x, "middle"),
            *parts,
            "</svg>\n",
        ]
    )
