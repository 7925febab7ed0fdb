"""Precision over recall as SVG text, a line for every label, in the colours of the style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Line", "curve_chart"]

WIDTH, HEIGHT = 560, 340
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 26, 540, 298
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Line:
    """`recall` and `precision` in [0, 1], point by point; `dot`: the point to mark, (recall, precision)."""

    name: str
    colour: str
    recall: Sequence[float]
    precision: Sequence[float]
    dot: tuple[float, float] | None = None


def curve_chart(lines: Sequence[Line], title: str, across: str, up: str) -> str:
    """`across`, `up`: names of the axes."""
    content = _axes(across, up) + "".join(_line(line) for line in lines)
    return (
        f'<svg class="chart-svg" data-testid="chart-curves" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _at(recall: float, precision: float) -> tuple[float, float]:
    return _LEFT + (_RIGHT - _LEFT) * recall, _BOTTOM - (_BOTTOM - _TOP) * precision


def _axes(across: str, up: str) -> str:
    parts = []
    for tick in _TICKS:
        x, y = _at(tick, tick)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.0%}</text>'
            f'<text x="{x:.1f}" y="{_BOTTOM + 17}" text-anchor="middle">{tick:.0%}</text>'
        )
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 14}">{escape(up)}</text>')
    return "".join(parts)


def _line(line: Line) -> str:
    points = [_at(recall, precision) for recall, precision in zip(line.recall, line.precision, strict=True)]
    if not points:
        return ""
    start = (_at(0, 0)[0], points[0][1])
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (start, *points))
    drawn = f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2.2" stroke-linejoin="round"/>'
    if line.dot:
        x, y = _at(*line.dot)
        drawn += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{line.colour}" stroke="var(--card)" stroke-width="1.5"/>'
        )
    return f"<g><title>{escape(line.name)}</title>{drawn}</g>"
