from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.common.errors import InvalidInput
from services.trainer.checkpoints import save_best
from services.trainer.config import TrainingConfig
from services.trainer.detection import Box, Truth, average_precision, decode
from services.trainer.evaluation.answers import Answers
from services.trainer.evaluation.child import MODEL, PACKED, SUMMARY, evaluate_folder
from services.trainer.evaluation.request import Request
from services.trainer.networks import anchors_of, build, predict
from services.trainer.pictures import Pictures, read_items
from tests.trainer.scenes import LABELS, QUICK, write_scenes

ANCHORS = ((0.5, 0.5), (1.0, 1.0), (1.5, 1.0), (1.0, 1.5), (2.0, 2.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tiny scenes, and a detector that knows nothing."""
    folder = write_scenes(tmp_path / "job", train=4, validation=40)
    config = TrainingConfig(**{name: value for name, value in QUICK.items() if name != "threads"})
    torch.manual_seed(2)
    network = build(config, len(LABELS), ANCHORS).eval()
    save_best(folder / MODEL, config, tuple(LABELS), 1, 0.5, network)
    return folder


def run(folder: Path, **changes: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "task": "detection", "labels": tuple(LABELS), "version_labels": tuple(LABELS), "target": "", "width": 96,
        "height": 96, "part": "validation", "confidence": 0.0, "anchors": ANCHORS,
    }  # fmt: skip
    Request(**wanted | changes).write(folder)
    evaluate_folder(folder, lambda event: None)
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return summary


def test_average_precision_is_the_trainings_own_measure(folder: Path) -> None:
    from services.trainer.checkpoints import load_checkpoint

    items = [item for item in read_items(folder) if item.split == "validation"]
    network = load_checkpoint(folder / MODEL).model
    outputs = predict(network, Pictures(folder, items, 96, 96, 0)[range(len(items))])
    found = decode(outputs, (3, 3), anchors_of(network), len(LABELS), 0.005, 0.45)
    truths = [[Truth(LABELS.index(name), Box(*box)) for name, box in item.boxes or ()] for item in items]
    score = average_precision(found, truths, LABELS)
    each = [one["average_precision"] for one in run(folder)["qualities"]]
    assert np.mean([ap for ap in each if ap is not None]) == pytest.approx(score.map50, abs=1e-6)
    assert len(Answers.parse((folder / PACKED).read_bytes()).detected()) == 40


def test_every_object_has_an_outcome_and_a_size(folder: Path) -> None:
    summary = run(folder, confidence=0.01)
    boxes = summary["boxes"]
    objects = sum(one["support"] for one in summary["qualities"])
    assert boxes["found"] + boxes["missed"] + boxes["confused"] == objects > 20
    assert summary["images"] == 40 and summary["labels"] == [*LABELS, ""]
    assert sum(map(sum, summary["confusion"])) == objects + boxes["false"]


def test_objects_of_a_label_that_the_model_does_not_know_are_never_found(folder: Path) -> None:
    others = ("owl", *LABELS[1:])
    summary = run(folder, labels=others)
    assert summary["unknown_labels"] == [LABELS[0]] and "owl" in summary["absent_labels"]
    unknown = summary["labels"].index(LABELS[0])
    assert summary["confusion"][unknown][unknown] == 0 and sum(summary["confusion"][unknown]) > 0


def test_a_detector_of_other_anchors_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="4 anchors"):
        run(folder, anchors=ANCHORS[:4])
