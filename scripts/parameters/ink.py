"""A canvas by Pillow: drawn four times as large as it is read, shrunk to half of that.

The font is the one that Pillow carries, so that the pictures are the same on every machine; bold is it with a stroke.
All measures are in pixels of a page of WIDTH.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

__all__ = ["BAND", "FAINT", "GRID", "INK", "SMALL", "TEXT", "TITLE", "TONES", "WIDTH", "Frame", "Ink", "wide"]

WIDTH = 850
_SCALE, _KEPT = 4, 2
INK, FAINT, GRID, BAND = (30, 34, 40), (104, 112, 122), (226, 230, 235), (234, 236, 240)
TONES = {  # told apart by the colour-blind too (Okabe and Ito)
    "default": INK, "small": (0, 114, 178), "large": (213, 94, 0), "other": (0, 158, 115), "faint": (170, 176, 184),
}  # fmt: skip
SMALL, TEXT, TITLE = 10.5, 11.5, 13.5


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)


class Ink:
    """A canvas."""

    def __init__(self, height: float) -> None:
        self.sheet = Image.new("RGB", (WIDTH * _SCALE, round(height * _SCALE)), "white")
        self._draw = ImageDraw.Draw(self.sheet)

    @property
    def size(self) -> tuple[int, int]:
        """When shrunk, pixels."""
        return self.sheet.width * _KEPT // _SCALE, self.sheet.height * _KEPT // _SCALE

    def shrunk(self) -> Image.Image:
        return self.sheet.resize(self.size, Image.Resampling.LANCZOS)

    def text(
        self, x: float, y: float, words: str, colour: tuple[int, int, int] = INK, size: float = TEXT,
        anchor: str = "la", bold: bool = False,
    ) -> None:  # fmt: skip
        stroke = 0.22 * _SCALE if bold else 0
        place = (x * _SCALE, y * _SCALE)
        self._draw.text(place, words, colour, _font(size), anchor, stroke_width=stroke, stroke_fill=colour)

    def upright(self, x: float, y: float, words: str) -> None:
        """Read from below, its middle at y."""
        size = (round(wide(words, SMALL) * _SCALE), round(1.4 * SMALL * _SCALE))
        strip = Image.new("RGB", size, "white")
        ImageDraw.Draw(strip).text((0, 0), words, FAINT, _font(SMALL))
        turned = strip.transpose(Image.Transpose.ROTATE_90)
        self.sheet.paste(turned, (round(x * _SCALE), round(y * _SCALE - turned.height / 2)))

    def line(self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: float = 1.0) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, colour, max(round(width * _SCALE), 1), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: tuple[int, int, int]) -> None:
        self._draw.rectangle([side * _SCALE for side in (left, top, right, bottom)], fill=colour)

    def area(self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=colour)

    def dot(self, x: float, y: float, colour: tuple[int, int, int], radius: float = 3.2) -> None:
        around = [side * _SCALE for side in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse(around, colour, "white", _SCALE)

    def paste(self, picture: Image.Image, x: float, y: float, width: float, height: float, smooth: bool) -> None:
        size = (round(width * _SCALE), round(height * _SCALE))
        how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        self.sheet.paste(picture.resize(size, how), (round(x * _SCALE), round(y * _SCALE)))


def wide(words: str, size: float) -> float:
    return _font(size).getlength(words) / _SCALE


@dataclass(frozen=True)
class Frame:
    """Where something is drawn."""

    left: float
    top: float
    width: float
    height: float
