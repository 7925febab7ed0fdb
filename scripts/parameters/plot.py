"""What a panel may show: curves, lying bars, pictures, lines of a log. Each draws itself into a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from scripts.parameters.ink import BAND, FAINT, GRID, INK, SMALL, TONES, Frame, Ink, wide

__all__ = ["Bar", "Bars", "Content", "Curves", "Line", "Tiles", "Words", "percent"]

_LEFT, _BELOW, _TOP = 40, 32, 6  # room for the axes of a chart


def percent(value: float) -> str:
    return f"{value:.0%}"


@dataclass(frozen=True)
class Line:
    """`tone`: of TONES; the default's is dark."""

    name: str
    points: Sequence[tuple[float, float]]
    tone: str = "default"
    dots: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Curves:
    """`band`: (x, lowest, highest) of what chance alone makes, drawn grey. `limits`: of y."""

    lines: Sequence[Line]
    x: str
    y: str
    band: Sequence[tuple[float, float, float]] = ()
    limits: tuple[float, float] | None = None
    form: Callable[[float], str] = percent

    def draw(self, ink: Ink, frame: Frame) -> None:
        top = _legend(ink, self.lines, frame) + _TOP
        left, right = frame.left + _LEFT, frame.left + frame.width - 8
        bottom = frame.top + frame.height - _BELOW
        xs = [x for line in self.lines for x, _ in line.points]
        low, high, step = _steps(*(self.limits or self._range()))
        first, last = min(xs), max(xs)

        def at(x: float, y: float) -> tuple[float, float]:
            share = (min(max(y, low), high) - low) / (high - low)
            return left + (right - left) * (x - first) / (last - first), bottom - (bottom - top) * share

        if self.band:
            below = [at(x, lowest) for x, lowest, _ in self.band]
            ink.area([*below, *(at(x, highest) for x, _, highest in reversed(self.band))], BAND)
        for number in range(round((high - low) / step) + 1):
            y = at(first, low + number * step)[1]
            ink.line([(left, y), (right, y)], GRID, 0.7)
            ink.text(left - 5, y, self.form(low + number * step), FAINT, SMALL, "rm")
        for x in _whole(first, last):
            ink.text(at(x, low)[0], bottom + 5, f"{x:g}", FAINT, SMALL, "ma")
        ink.text((left + right) / 2, bottom + 18, self.x, FAINT, SMALL, "ma")
        ink.upright(frame.left - 4, (top + bottom) / 2, self.y)
        for line in sorted(self.lines, key=lambda one: one.tone == "default"):
            ink.line([at(*point) for point in line.points], TONES[line.tone], 1.8)
            for dot in line.dots:
                ink.dot(*at(*dot), TONES[line.tone])

    def _range(self) -> tuple[float, float]:
        ys = [y for line in self.lines for _, y in line.points]
        ys += [y for _, *both in self.band for y in both]
        return min(ys), max(ys)


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    words: str
    tone: str = "default"


@dataclass(frozen=True)
class Bars:
    """Lying bars; `limits`: (value, words) of upright lines, the words below the last bar."""

    bars: Sequence[Bar]
    x: str
    limits: Sequence[tuple[float, str]] = ()
    most: float = 0.0

    def draw(self, ink: Ink, frame: Frame) -> None:
        room = max(wide(bar.name, SMALL) for bar in self.bars) + 8
        after = max(wide(bar.words, SMALL) for bar in self.bars) + 8
        left, width = frame.left + room, frame.width - room - after
        most = self.most or max([bar.value for bar in self.bars] + [value for value, _ in self.limits])
        bottom = frame.top + frame.height - _BELOW - (14 if self.limits else 0)
        row = min((bottom - frame.top - _TOP) / len(self.bars), 26)
        end = frame.top + _TOP + row * len(self.bars)
        for index, bar in enumerate(self.bars):
            y = frame.top + _TOP + row * (index + 0.5)
            ink.text(left - 6, y, bar.name, INK, SMALL, "rm")
            length = width * max(bar.value, 0) / most
            ink.box(left, y - row * 0.33, left + max(length, 0.6), y + row * 0.33, TONES[bar.tone])
            ink.text(left + length + 5, y, bar.words, INK, SMALL, "lm")
        for value, words in self.limits:
            x = left + width * value / most
            ink.line([(x, frame.top + 2), (x, end + 3)], TONES["large"], 1.2)
            ink.text(x, end + 4, words, TONES["large"], SMALL, "ma")
        ink.text(left, end + (18 if self.limits else 5), self.x, FAINT, SMALL)


@dataclass(frozen=True)
class Tiles:
    """Pictures in a row with words below; `smooth`: not shown pixel by pixel. All are as high as `side` allows."""

    tiles: Sequence[tuple[Image.Image, str]]
    smooth: bool = False
    side: float = 150

    def draw(self, ink: Ink, frame: Frame) -> None:
        x = frame.left
        for picture, words in self.tiles:
            width = self.side * picture.width / picture.height
            ink.paste(picture, x, frame.top + _TOP, width, self.side, self.smooth)
            for number, part in enumerate(words.split("\n")):
                ink.text(x, frame.top + _TOP + self.side + 4 + 13 * number, part, FAINT, SMALL)
            x += width + 12


@dataclass(frozen=True)
class Words:
    """Lines as they stand in a log."""

    lines: Sequence[tuple[str, str]]  # tone, words

    def draw(self, ink: Ink, frame: Frame) -> None:
        ink.box(frame.left, frame.top + 2, frame.left + frame.width, frame.top + 12 + 16 * len(self.lines), BAND)
        for number, (tone, words) in enumerate(self.lines):
            ink.text(frame.left + 8, frame.top + 8 + 16 * number, words, TONES[tone], SMALL)


Content = Curves | Bars | Tiles | Words


def _legend(ink: Ink, lines: Sequence[Line], frame: Frame) -> float:
    """Names beside strokes, as many in a row as fit; returns where it ends."""
    x, y = frame.left, frame.top
    for line in lines:
        length = 18 + wide(line.name, SMALL) + 10
        if x > frame.left and x + length - 10 > frame.left + frame.width:
            x, y = frame.left, y + 14
        ink.line([(x, y + 6), (x + 13, y + 6)], TONES[line.tone], 2.4)
        ink.text(x + 17, y, line.name, INK, SMALL)
        x += length
    return y + 16


def _steps(low: float, high: float) -> tuple[float, float, float]:
    """Round ends of an axis around these, and its step."""
    span = max(high - low, 1e-9)
    unit = 10.0 ** len(f"{int(span)}".lstrip("0")) / 10
    while unit > span:
        unit /= 10
    step = next(unit * share for share in (0.2, 0.25, 0.5, 1, 2, 2.5, 5) if span / (unit * share) <= 4.2)
    first, last = int(low / step + 1e-6), -int(-high / step // 1)
    return first * step, max(last, first + 1) * step, step


def _whole(first: float, last: float) -> list[float]:
    """Ticks of the x axis."""
    span = last - first
    step = next(one for one in (0.1, 0.2, 1, 2, 5, 10, 20, 50) if span / one <= 7)
    ticks, x = [], -(-first // step) * step
    while x <= last + 1e-9:
        ticks.append(round(x, 6))
        x += step
    return ticks
