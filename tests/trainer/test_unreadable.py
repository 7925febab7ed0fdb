"""A training on a folder with bad pictures: it ends in words, goes on when they are mended, or leaves them out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.common.errors import InvalidInput
from services.trainer.loop import train

JobFolder = Callable[..., Path]


def bomb() -> bytes:
    out = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(out, "PNG")
    return out.getvalue()


def spoilt(folder: Path) -> dict[str, bytes]:
    """Four pictures made bad in four ways, and what they were."""
    names = ("images/001.jpg", "images/002.jpg", "images/003.jpg", "images/033.jpg")
    before = {name: (folder / name).read_bytes() for name in names}
    cut = before[names[0]]
    for name, data in zip(names, (cut[: len(cut) // 2], b"", bomb(), b"GIF89a"), strict=True):
        (folder / name).write_bytes(data)
    return before


def quiet(event: dict[str, Any]) -> None:
    pass


def test_a_bad_picture_is_named_and_the_job_goes_on_once_it_is_mended(job_folder: JobFolder) -> None:
    folder = job_folder(train=8, validation=4, epochs=1, input_size=96)
    whole = (folder / "images/003.jpg").read_bytes()
    (folder / "images/003.jpg").write_bytes(whole[:300])
    with pytest.raises(InvalidInput, match=r"images/003\.jpg \(capture capture003\).*skip_unreadable") as caught:
        train(folder, quiet)
    assert caught.value.reason == "PICTURE_BROKEN"
    (folder / "images/003.jpg").write_bytes(whole)
    train(folder, quiet)
    assert (folder / "best.pt").exists()


def test_unreadable_pictures_are_left_out_and_each_is_named(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=1, input_size=96, skip_unreadable=True)
    names = spoilt(folder)
    log: list[str] = []
    train(folder, lambda event: log.append(event.get("message", "")))
    assert all(any(line.startswith("Left out:") and name in line for line in log) for name in names)
    assert any(line.startswith("29 train and 11 validation pictures") for line in log)
    assert not {entry["file"] for entry in json.loads((folder / "items.json").read_text())} & set(names)


def test_when_nothing_is_left_it_says_so(job_folder: JobFolder) -> None:
    folder = job_folder(train=2, validation=2, epochs=1, input_size=96, skip_unreadable=True)
    for index in (2, 3):
        (folder / f"images/{index:03d}.jpg").write_bytes(b"")
    with pytest.raises(InvalidInput, match="no validation pictures"):
        train(folder, quiet)
