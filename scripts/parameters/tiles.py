"""Of both tables what is best seen in pictures: what the network is given of them, and what is found in some."""

from __future__ import annotations

from pathlib import Path

import skimage
from PIL import Image, ImageDraw

from scripts.parameters.compared import compared, timed
from scripts.parameters.data import items_of
from scripts.parameters.page import Panel
from scripts.parameters.plot import Bar, Bars, Curves, Tiles, Words
from scripts.parameters.runs import run, unreadable
from services.trainer.imaging import open_rgb, to_input

__all__ = ["PANELS", "alarms_counted"]

PHOTOGRAPH = "coffee.png"  # 600 x 400
FOUND_COLOUR = (255, 94, 0)


def inputs() -> Curves:
    return compared(
        timed("96", "default", run()),
        timed("128", "other", run(input_size=128)),
        timed("192", "large", run(input_size=192)),
    )


def sizes() -> Tiles:
    """A part of the inputs, pixel by pixel."""
    tiles = []
    for side in (96, 128, 224):
        whole = _given(side, side)
        part = whole.crop((side // 5, side // 4, side * 4 // 5, side * 17 // 20))
        tiles.append((part, f"a part of {side} x {side}"))
    return Tiles(tiles, side=162)


def shapes() -> Tiles:
    photograph = open_rgb(_bytes())
    tiles = [(photograph, f"the photograph, {photograph.width} x {photograph.height}")]
    words = ("input_size 192, input_height 0:\n192 x 192", "input_size 192, input_height 128:\n192 x 128")
    given = [_given(192, 192), _given(192, 128)]
    return Tiles([*tiles, *zip(given, words, strict=True)], smooth=True, side=150)


def alarms() -> Tiles:
    """Unseen pictures without a vehicle, on which the detector that knew no such pictures sees one."""
    folder, items = items_of("detection")
    unseen = [item for item in items if item["split"] == "validation"]
    with_, without = (run("detection", head="anchor_free", **changed) for changed in ({}, {"negatives": False}))
    chosen = [index for index, item in enumerate(unseen) if not item["boxes"] and without.answers[index]]
    chosen = sorted(chosen, key=lambda index: len(with_.answers[index]))[:2]
    tiles = []
    for index in chosen:
        for name, one in (("false", without), ("true", with_)):
            tiles.append((_marked(folder / unseen[index]["file"], one.answers[index]), f"{name}"))
    return Tiles(tiles, smooth=True, side=165)


def alarms_counted() -> Bars:
    items = [item for item in items_of("detection")[1] if item["split"] == "validation"]
    bars = []
    for name, tone, one in (
        ("false", "small", run("detection", head="anchor_free", negatives=False)),
        ("true", "default", run("detection", head="anchor_free")),
    ):
        for words, boxes in (("with one", True), ("without", False)):
            seen = [bool(found) for found, item in zip(one.answers, items, strict=True) if bool(item["boxes"]) == boxes]
            bars.append(Bar(f"{name}, {words}", sum(seen) / len(seen), f"{sum(seen)} of {len(seen)}", tone))
    return Bars(bars, "pictures in which it sees a vehicle", most=1.0)


def damaged() -> Words:
    error, log = unreadable()
    left_out = [line for line in log if "eft out" in line]
    return Words([("large", f"false   {error}"), *(("default", f"true    {line}") for line in left_out)])


def _marked(file: Path, found: list[list[float]]) -> Image.Image:
    picture = Image.open(file).convert("RGB")
    picture = picture.resize((3 * picture.width, 3 * picture.height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for confidence, *box in found:
        left, top, right, bottom = (min(max(edge, 0.0), 1.0) * (picture.width - 1) for edge in box)
        draw.rectangle([left, top, right, bottom], outline=FOUND_COLOUR, width=5)
        draw.text(
            (left + 9, top + 6), f"{confidence:.0%}", FOUND_COLOUR, font_size=30, stroke_width=2, stroke_fill="white"
        )
    return picture


def _bytes() -> bytes:
    return (Path(skimage.__file__).parent / "data" / PHOTOGRAPH).read_bytes()


def _given(width: int, height: int) -> Image.Image:
    return Image.fromarray(to_input(_bytes(), width, height).transpose(1, 2, 0))


PANELS = (
    Panel(
        ("input_size",),
        "More pixels show finer marks, and an epoch takes longer; 128 and 192 differ no more than chance does.",
        inputs,
    ),
    Panel(("input_size",), "What the network is given of one photograph, pixel by pixel.", sizes, columns=2),
    Panel(
        ("input_height",),
        "The whole picture is stretched to the input: a height of its own keeps the shape of a wide one.",
        shapes,
        columns=3,
        height=188,
    ),
    Panel(
        ("negatives",),
        "Two of the pictures without a vehicle in which anchor_free detectors differ, and what was taken for one.",
        alarms,
        columns=3,
        height=190,
    ),
    Panel(
        ("skip_unreadable",),
        "Three damaged files. With false the job ends at the first; with true the log names each and it goes on.",
        damaged,
        columns=3,
        height=80,
    ),
)
