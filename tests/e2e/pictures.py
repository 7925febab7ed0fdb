"""Pictures that a camera could see: drawn solar cells, sound or broken, no two of them alike."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw, ImageFilter

__all__ = ["LABELS", "cell"]

LABELS = ("functional", "defective")
SIDE = 300  # px, as the photographs of the ELPV data set
BUSBARS = (75, 150, 225)


def cell(label: str, number: int) -> bytes:
    """PNG of cell `number`: bright with three busbars; a defective one has a dark corner and a crack."""
    dice = random.Random(f"{label} {number}")
    bright = dice.randint(135, 175)
    texture = Image.effect_noise((SIDE, SIDE), dice.uniform(18, 30)).point(lambda grey: grey - 128 + bright)
    draw = ImageDraw.Draw(texture)
    if label == "defective":
        _break(draw, dice)
    for x in BUSBARS:
        draw.rectangle((x - 3, 0, x + 3, SIDE), fill=bright // 3)
    draw.text((4, 4), str(number), fill=255)
    out = io.BytesIO()
    texture.filter(ImageFilter.GaussianBlur(0.6)).save(out, "PNG")
    return out.getvalue()


def _break(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    size = dice.randint(110, 170)
    left, top = dice.choice((-30, SIDE - size + 30)), dice.choice((-30, SIDE - size + 30))
    draw.ellipse((left, top, left + size, top + size), fill=dice.randint(10, 35))
    points = [(dice.randint(40, 260), 0)]
    while points[-1][1] < SIDE:
        points.append((points[-1][0] + dice.randint(-40, 40), points[-1][1] + dice.randint(20, 60)))
    draw.line(points, fill=20, width=dice.randint(4, 7), joint="curve")
