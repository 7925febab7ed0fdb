from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.common.errors import InvalidInput
from services.trainer.imaging import to_input
from services.trainer.pictures import Pictures, read_items

JobFolder = Callable[..., Path]


@pytest.mark.parametrize("budget", [0, 2**20])
def test_pictures_come_in_the_order_asked_for(job_folder: JobFolder, budget: int) -> None:
    folder = job_folder(train=4, validation=2)
    items = read_items(folder)
    batch = Pictures(folder, items, 32, 32, budget)[[3, 0]]
    expected = [to_input((folder / items[i].file).read_bytes(), 32, 32) for i in (3, 0)]
    assert np.array_equal(batch, np.stack(expected))


def test_a_missing_file_is_named(job_folder: JobFolder) -> None:
    folder = job_folder(train=4, validation=2)
    (folder / "images/002.jpg").unlink()
    with pytest.raises(InvalidInput, match=r"002\.jpg"):
        Pictures(folder, read_items(folder), 32, 32, 0)[[2]]


def edited(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    path = folder / "items.json"
    items = json.loads(path.read_text())
    change(items)
    path.write_text(json.dumps(items))
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda items: [item.update(split="train") for item in items], "no validation pictures"),
        (lambda items: [item.update(label="ring") for item in items], "same label"),
        (lambda items: items[0].update(split="test"), "capture000"),
        (lambda items: items[0].pop("file"), "cannot be read"),
    ],
)
def test_a_data_set_that_cannot_train_is_refused(job_folder: JobFolder, change: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_items(edited(job_folder(train=4, validation=2), change))


def test_batches_decoded_ahead_are_those_asked_for(job_folder: JobFolder) -> None:
    folder = job_folder(train=10, validation=2)
    items = read_items(folder)
    streamed, kept = Pictures(folder, items, 32, 32, 0), Pictures(folder, items, 32, 32, 2**20)
    batches = torch.split(torch.randperm(12, generator=torch.Generator().manual_seed(0)), 5)
    got = [streamed[batch.tolist()] for batch in streamed.ahead(batches)]
    assert [len(batch) for batch in got] == [5, 5, 2]
    assert all(np.array_equal(a, kept[b.tolist()]) for a, b in zip(got, batches, strict=True))
    assert np.array_equal(streamed[2:5], kept[[2, 3, 4]])


def test_a_picture_that_cannot_be_read_ahead_is_named_when_its_batch_comes(job_folder: JobFolder) -> None:
    folder = job_folder(train=10, validation=2)
    (folder / "images/009.jpg").write_bytes(b"broken")
    pictures = Pictures(folder, read_items(folder), 32, 32, 0)
    ahead = pictures.ahead(torch.split(torch.arange(12), 2))
    for batch in ahead:
        if 9 in batch.tolist():
            with pytest.raises(InvalidInput, match=r"009\.jpg"):
                pictures[batch.tolist()]
            break
        assert pictures[batch.tolist()].shape == (2, 3, 32, 32)
    else:
        raise AssertionError("batch 9 never came")
