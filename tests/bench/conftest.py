from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from bench.scenes import FOLDERS


@pytest.fixture(scope="session")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight families of discs for each label, every label of its own colour, and one stamp without an outline."""
    folder = tmp_path_factory.mktemp("stamps")
    for number, place in enumerate(FOLDERS.values()):
        (folder / place).mkdir(parents=True)
        for name in (*"abcdefgh", "a_mirror"):
            picture = Image.new("RGBA", (60, 80))
            ImageDraw.Draw(picture).ellipse((10, 10, 49, 69), fill=(255, 30 * number, 255 - 30 * number))
            picture.save(folder / place / f"{name}.png")
        Image.new("RGB", (40, 40), "green").save(folder / place / "whole.png")
    return folder
