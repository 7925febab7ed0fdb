"""The anchor-free head in a job's own loop and conversion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from services.common.errors import UnsupportedModel
from services.trainer import conversion, loop
from services.trainer.checkpoints import save_best
from services.trainer.config import TrainingConfig
from services.trainer.evaluation.child import MODEL, SUMMARY, evaluate_folder
from services.trainer.evaluation.request import Request
from services.trainer.networks import build
from tests.trainer.scenes import LABELS, write_scenes

FREE: dict[str, Any] = {"head": "anchor_free", "backbone": "mobilenet_v1_0.25"}
Events = list[dict[str, Any]]


def trained(folder: Path) -> Events:
    events: Events = []
    loop.train(folder, events.append)
    return events


def saved(folder: Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / name, weights_only=True)["model"]
    return state


def test_learns_to_find_objects(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "job", train=48, validation=12, epochs=12, **FREE)
    epochs = [event for event in trained(folder) if event["type"] == "epoch"]
    best = max(event["val_map50"] for event in epochs)
    assert best > 0.25  # discs and bars in noise; 0.5 was reached
    assert epochs[-1]["loss"] < 0.8 * epochs[0]["loss"]
    assert loop.load_checkpoint(folder / "best.pt").score == best


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, cut = (write_scenes(tmp_path / name, epochs=2, **FREE) for name in ("whole", "cut"))
    trained(whole)

    def die(event: dict[str, Any]) -> None:
        if event["type"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train(cut, die)
    assert [event["epoch"] for event in trained(cut) if event["type"] == "epoch"] == [2]
    assert all(torch.equal(one, other) for one, other in zip(saved(cut).values(), saved(whole).values(), strict=True))


def untrained(folder: Path, head: str) -> Path:
    config = TrainingConfig(**FREE | {"head": head, "input_size": 96})
    save_best(folder / f"{head}.pt", config, LABELS, 1, 0.5, build(config, len(LABELS), [(1, 1)] * 5))
    return folder / f"{head}.pt"


@pytest.mark.parametrize("head", ["anchor_free", "yolo2"])
def test_goes_on_from_its_own_kind_and_from_features_of_another(tmp_path: Path, head: str) -> None:
    start = untrained(tmp_path, head)
    folder = write_scenes(tmp_path / "job", epochs=1, learning_rate=1e-9, weights=str(start), ema=0.0, **FREE)
    told = next(event for event in trained(folder) if event["type"] == "log")["message"]
    assert ("from a trained model" if head == "anchor_free" else "features of a trained yolo2") in told
    before, after = saved(tmp_path, start.name), saved(folder)
    alike = [
        name for name in after if name.endswith("weight") and (name.startswith("backbone") or head == FREE["head"])
    ]
    assert len(alike) > 20 and all(torch.allclose(before[name], after[name], atol=1e-5) for name in alike)


def test_its_file_for_onnx_is_measured_on_the_validation_split(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "job")
    config = TrainingConfig(**FREE | {"input_size": 96})
    torch.manual_seed(1)
    save_best(folder / "best.pt", config, LABELS, 1, 0.5, build(config, len(LABELS)).eval())
    result = conversion.finish(folder, "web-onnx", lambda event: None)
    assert result.fidelity["task"] == "detector" and result.fidelity["output_snr_db"] > 40
    assert result.agreement == 1 and {one["name"] for one in result.fidelity["scores"]} >= {"mAP50"}
    assert json.loads((folder / "evaluation.json").read_text())["anchors"] == []

    (folder / MODEL).write_bytes((folder / "converted" / "web-onnx" / result.file_name).read_bytes())
    Request("detection", LABELS, LABELS, "web-onnx", 96, 96, "validation", 0.0, head="anchor_free").write(folder)
    evaluate_folder(folder, lambda event: None)
    assert json.loads((folder / SUMMARY).read_text())["images"] == 8


def test_a_chip_that_knows_yolo2_only_is_refused_before_the_training(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "job", **FREE)
    with pytest.raises(UnsupportedModel, match=r"k210-kmodel-v3 know YOLOv2 only"):
        conversion.check(folder, "k210-kmodel-v3")
    conversion.check(folder, "linux-ncnn-int8")
