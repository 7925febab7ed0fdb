"""What the canned services agree on."""

from __future__ import annotations

import io
import random
import time

from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image, ImageDraw

LABELS = ["functional", "defective"]
TARGET = "k210-kmodel-v3"
BOARDS = ("abcdefgh23", "mnopqrst45")
RELEASE = "ab" * 16
MODEL_FILE = bytes(range(256)) * 8192  # 2 MiB: several blocks


def stamp(ago: float = 0.0) -> Timestamp:
    """`ago` seconds before now."""
    return Timestamp(seconds=int(time.time() - ago))


def cell_jpeg(seed: int, defective: bool, size: int = 224) -> bytes:
    """A drawing like a solar cell: grey, bars, and a crack when defective."""
    chance = random.Random(seed)
    level = chance.randint(120, 190)
    picture = Image.new("L", (size, size), level)
    draw = ImageDraw.Draw(picture)
    for bar in (size // 3, 2 * size // 3):
        draw.rectangle((0, bar - 3, size, bar + 3), fill=level // 3)
    if defective:
        points = [(chance.randrange(size), chance.randrange(size)) for _ in range(4)]
        draw.line(points, fill=30, width=5)
    draw.text((4, 4), str(seed), fill=level // 2)  # no two are equal
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()
