"""A detector by the same loop as a classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from services.common.errors import FailedPrecondition, InvalidInput
from services.trainer import loop
from services.trainer.detector import Detector
from services.trainer.tasks import detection
from tests.trainer.scenes import LABELS, write_scenes

Events = list[dict[str, Any]]


def trained(folder: Path, stop_after: int = 0) -> Events:
    events: Events = []
    loop.train(folder, events.append, lambda: 0 < stop_after <= len(of_type(events, "epoch")))
    return events


def of_type(events: Events, kind: str) -> Events:
    return [event for event in events if event["type"] == kind]


def weights(folder: Path, name: str = "last.pt") -> torch.Tensor:
    state = torch.load(folder / name, weights_only=True)["model"]
    return torch.cat([values.flatten().double() for values in state.values()])


def changed(folder: Path, file: str, change: Any) -> Path:
    values = json.loads((folder / file).read_text())
    change(values)
    (folder / file).write_text(json.dumps(values))
    return folder


def only(label: str) -> Any:
    def change(items: list[dict[str, Any]]) -> None:
        for item in items:
            item["boxes"] = [box for box in item["boxes"] if box[0] == label]

    return change


def renamed(label: str) -> Any:
    def change(items: list[dict[str, Any]]) -> None:
        for item in items:
            item["boxes"] = [[label, edges] for _, edges in item["boxes"]]

    return change


def test_learns_to_find_and_tells_every_epoch(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "job", train=48, validation=12, epochs=12)
    events = trained(folder)
    epochs = of_type(events, "epoch")
    assert epochs[-1]["loss"] < 0.7 * epochs[0]["loss"]
    told = {"loss_box", "loss_object", "loss_class", "val_loss", "val_map50_95"}
    assert all(told <= event.keys() for event in epochs)
    kept = loop.load_checkpoint(folder / "best.pt")
    best = max(event["val_map50"] for event in epochs)
    assert best > 0.2  # discs and bars in noise
    assert of_type(events, "done") == [{"type": "done", "epoch": kept.epoch, "score": best, "stopped": False}]
    assert isinstance(kept.model, Detector) and kept.model.anchors.shape == (5, 2)
    assert kept.labels == LABELS and kept.config.head == "yolo2"  # a label that nobody marked is left out


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = write_scenes(tmp_path / "whole", epochs=3)
    trained(whole)
    cut = write_scenes(tmp_path / "cut", epochs=3)

    def die(event: dict[str, Any]) -> None:
        if event["type"] == "epoch" and event["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train(cut, die)
    assert [event["epoch"] for event in of_type(trained(cut), "epoch")] == [3]
    assert torch.equal(weights(cut), weights(whole))


def test_a_stop_keeps_the_best_so_far(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "job", epochs=50)
    events = trained(folder, stop_after=1)
    assert of_type(events, "done")[0]["stopped"] and (folder / "best.pt").exists()


def test_training_on_keeps_what_is_known_of_the_labels_that_stay(tmp_path: Path) -> None:
    first = write_scenes(tmp_path / "first")
    trained(first)
    start = str(first / "best.pt")
    second = write_scenes(tmp_path / "second", epochs=1, learning_rate=1e-9, weights=start, ema=0.0)
    changed(second, "items.json", only("bar"))
    assert "left out: disc" in of_type(trained(second), "log")[0]["message"]
    one, other = (loop.load_checkpoint(folder / "best.pt").model for folder in (first, second))
    assert torch.equal(one.anchors, other.anchors)
    before, after = (model.head.predict.weight.view(5, -1, 96) for model in (one, other))
    assert torch.allclose(after, before[:, [0, 1, 2, 3, 4, 6]], atol=1e-6)


@pytest.mark.parametrize(("negatives", "seen"), [(True, 24), (False, 18)])
def test_pictures_of_background_can_be_left_out(tmp_path: Path, negatives: bool, seen: int) -> None:
    folder = write_scenes(tmp_path / "job", epochs=1, negatives=negatives)
    assert f"{seen} train and 8 validation" in of_type(trained(folder, stop_after=1), "log")[0]["message"]


def test_one_label_is_enough(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "job", epochs=1)
    changed(folder, "items.json", renamed("thing"))
    trained(folder)
    assert loop.load_checkpoint(folder / "best.pt").labels == ("thing",)


def test_a_diverged_training_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = detection.yolo2_loss
    monkeypatch.setattr(detection, "yolo2_loss", lambda last, *rest: original(last * float("nan"), *rest))
    with pytest.raises(FailedPrecondition, match=r"diverged.*learning_rate"):
        trained(write_scenes(tmp_path / "job"))


@pytest.mark.parametrize(
    ("box", "word"),
    [(["disc", [0.5, 0.1, 0.4, 0.2]], "box 1 .disc."), (["", [0.1, 0.1, 0.2, 0.2]], "no label"),
     (["disc", [0.1, 0.1, 1.2, 0.2]], "right 1.2"), (["disc", [float("nan"), 0, 1, 1]], "nan")],
)  # fmt: skip
def test_a_box_that_cannot_be_is_named_with_its_capture(tmp_path: Path, box: Any, word: str) -> None:
    folder = changed(write_scenes(tmp_path / "job"), "items.json", lambda items: items[5].update(boxes=[box]))
    with pytest.raises(InvalidInput, match=f"capture005.*{word}"):
        trained(folder)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_boxes_is_refused(tmp_path: Path, split: str) -> None:
    folder = write_scenes(tmp_path / "job")
    changed(folder, "items.json", lambda items: [item.update(boxes=[]) for item in items if item["split"] == split])
    with pytest.raises(InvalidInput, match=f"No {split} picture has a box"):
        trained(folder)


@pytest.mark.parametrize("change", [{"head": "classifier"}, {"distil": "mobilenet_v1_1.0"}])
def test_what_a_detector_cannot_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="Leave"):
        trained(write_scenes(tmp_path / "job", **change))
