"""Small charts as SVG text, in the colours of the style sheet that they are shown with (its variables)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Bar", "columns", "rows"]

ROW, VALUE = 21, 66  # px: height of a row, room for its value
WIDTH = 560
COLUMN_HEIGHT, AXIS = 150, 22
LONGEST = 27  # characters of a name; the middle of a longer one is left out
_LETTER = 7  # px: width of a letter of 11.5 px in a monospaced font


@dataclass(frozen=True)
class Bar:
    """`share`: length of the bar in [0, 1], None for none; `tone`: "", "warn" or "faint"; `tip`: shown on hovering."""

    name: str
    share: float | None
    value: str
    tip: str = ""
    tone: str = ""


def rows(bars: Sequence[Bar], title: str) -> str:
    """Horizontal bars, one a row, with names on the left and values behind them; made for thirty and more."""
    height = ROW * len(bars) + 4
    room = _LETTER * min(max((len(bar.name) for bar in bars), default=0), LONGEST) + 12
    return _svg(title, height, "".join(_row(bar, index, room) for index, bar in enumerate(bars)), "chart-rows")


def columns(counts: Sequence[int], tips: Sequence[str], ticks: Sequence[str], title: str) -> str:
    """A histogram; `tips`: one a column, `ticks`: texts at even distances below the axis, from end to end."""
    most, width = max(counts, default=0) or 1, WIDTH / max(len(counts), 1)
    parts = []
    for index, (count, tip) in enumerate(zip(counts, tips, strict=True)):
        tall = (COLUMN_HEIGHT - 16) * count / most
        x, y = index * width, COLUMN_HEIGHT - tall
        label = f'<text x="{x + width / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle">{count}</text>' if count else ""
        parts.append(
            f'<g><title>{escape(tip)}</title><rect x="{x + 1.5:.1f}" y="{y:.1f}" width="{width - 3:.1f}" '
            f'height="{tall:.1f}" rx="2" fill="var(--accent)"/>{label}</g>'
        )
    parts.append(f'<line x1="0" x2="{WIDTH}" y1="{COLUMN_HEIGHT}" y2="{COLUMN_HEIGHT}" stroke="var(--line-strong)"/>')
    for index, tick in enumerate(ticks):
        x = WIDTH * index / (len(ticks) - 1)
        anchor = "start" if index == 0 else "end" if index == len(ticks) - 1 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{COLUMN_HEIGHT + 16}" text-anchor="{anchor}">{escape(tick)}</text>')
    return _svg(title, COLUMN_HEIGHT + AXIS, "".join(parts), "chart-columns")


def _row(bar: Bar, index: int, left: int) -> str:
    """`left`: where bars begin."""
    y = index * ROW + 2
    middle, room = y + ROW / 2 + 3.5, WIDTH - left - VALUE
    colour = {"": "var(--accent)", "warn": "var(--warn)", "faint": "var(--line-strong)"}[bar.tone]
    length = room * min(max(bar.share or 0.0, 0.0), 1.0)
    half = LONGEST // 2
    name = bar.name if len(bar.name) <= LONGEST else f"{bar.name[:half]}…{bar.name[-half:]}"
    weight = ' font-weight="600"' if bar.tone == "warn" else ""
    drawn = f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" rx="3" fill="{colour}"/>'
    return (
        f"<g><title>{escape(bar.tip or bar.name)}</title>"
        f'<rect x="0" y="{y}" width="{WIDTH}" height="{ROW}" fill="transparent"/>'
        f'<text x="{left - 10}" y="{middle}" text-anchor="end" class="mono"{weight}>{escape(name)}</text>'
        f"{drawn if bar.share is not None else ''}"
        f'<text x="{left + length + 8:.1f}" y="{middle}"{weight}>{escape(bar.value)}</text></g>'
    )


def _svg(title: str, height: float, content: str, kind: str) -> str:
    return (
        f'<svg class="chart-svg" data-testid="{kind}" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )
