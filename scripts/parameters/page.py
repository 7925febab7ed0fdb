"""A page of panels: three columns, each panel with the names of its parameters, a sentence and a chart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from scripts.parameters.ink import INK, TEXT, TITLE, WIDTH, Frame, Ink, wide
from scripts.parameters.plot import Content

__all__ = ["Panel", "drawn", "size"]

COLUMNS, GAP, MARGIN = 3, 26, 10
LINE = 14.5  # px
CHART = 190


@dataclass(frozen=True)
class Panel:
    """`columns` that it takes; `height` of what is drawn, in pixels of the page."""

    parameters: tuple[str, ...]
    sentence: str
    content: Callable[[], Content]
    columns: int = 1
    height: float = CHART


def drawn(panels: Sequence[Panel]) -> Image.Image:
    """Left to right, as many in a row as fit."""
    ink, top = Ink(_height(panels)), float(MARGIN)
    for row in _rows(panels):
        height = _tall(row)
        column = 0
        for panel in row:
            frame = Frame(MARGIN + column * (_wide(1) + GAP), top, _wide(panel.columns), height - GAP)
            _panel(ink, panel, frame, _above(row))
            column += panel.columns
        top += height
    return ink.shrunk().quantize(256)


def size(panels: Sequence[Panel]) -> tuple[int, int]:
    """Of what is drawn, pixels."""
    return Ink(_height(panels)).size


def _height(panels: Sequence[Panel]) -> float:
    return sum(_tall(row) for row in _rows(panels)) + MARGIN


def _tall(row: Sequence[Panel]) -> float:
    return _above(row) + max(panel.height for panel in row) + GAP


def _rows(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    row: list[Panel] = []
    for panel in panels:
        if sum(one.columns for one in row) + panel.columns > COLUMNS:
            yield row
            row = []
        row.append(panel)
    yield row


def _wide(columns: int) -> float:
    one = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    return columns * one + (columns - 1) * GAP


def _above(row: Sequence[Panel]) -> float:
    """The title and the longest sentence."""
    return 21 + LINE * max(len(_broken(panel.sentence, _wide(panel.columns))) for panel in row) + 7


def _panel(ink: Ink, panel: Panel, frame: Frame, above: float) -> None:
    ink.text(frame.left, frame.top, ", ".join(panel.parameters), INK, TITLE, bold=True)
    for number, line in enumerate(_broken(panel.sentence, frame.width)):
        ink.text(frame.left, frame.top + 21 + LINE * number, line)
    panel.content().draw(ink, Frame(frame.left, frame.top + above, frame.width, panel.height))


def _broken(sentence: str, width: float) -> list[str]:
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if wide(longer, TEXT) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
