from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from services.common.errors import InvalidInput
from services.trainer.checkpoints import save_best
from services.trainer.config import TrainingConfig
from services.trainer.evaluation.answers import Answers
from services.trainer.evaluation.child import MODEL, PACKED, SUMMARY, evaluate_folder
from services.trainer.evaluation.request import Request
from services.trainer.model import Classifier


@pytest.fixture
def folder(job_folder: Callable[..., Path]) -> Path:
    """40 pictures and an untrained network of 96 pixels."""
    folder = job_folder(train=8, validation=40)
    torch.manual_seed(1)
    network = Classifier("tiny_cnn", 2).eval()
    save_best(folder / MODEL, TrainingConfig(backbone="tiny_cnn", input_size=96), ("ring", "bars"), 1, 0.5, network)
    return folder


def run(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    wanted: dict[str, Any] = {
        "task": "classification", "labels": ("ring", "bars"), "version_labels": ("ring", "bars"), "target": "",
        "width": 96, "height": 96, "part": "validation", "confidence": 0.0, "seen": ("capture009",),
    }  # fmt: skip
    Request(**wanted | changes).write(folder)
    events: list[dict[str, Any]] = []
    evaluate_folder(folder, events.append)
    return events


def test_every_picture_of_the_part_is_answered(folder: Path) -> None:
    events = run(folder)
    answers = Answers.parse((folder / PACKED).read_bytes())
    assert [one.facts.capture_id for one in answers.pictures] == [f"capture{i:03d}" for i in range(8, 48)]
    assert [one.facts.capture_id for one in answers.pictures if one.facts.seen] == ["capture009"]
    assert all(0.2 < one.facts.brightness < 0.6 for one in answers.pictures)
    assert [event.get("done") for event in events] == [0, 32, 40, None] and events[-1] == {"type": "done"}
    assert json.loads((folder / SUMMARY).read_text())["images"] == 40


def test_a_run_that_was_broken_off_goes_on_after_its_last_whole_answer(folder: Path) -> None:
    run(folder)
    whole, lines = (folder / PACKED).read_bytes(), (folder / "answers.jsonl").read_text().split("\n")
    (folder / "answers.jsonl").write_text("\n".join(lines[:36]) + "\n" + lines[36][:20])
    assert [event.get("done") for event in run(folder)] == [35, 40, None]
    assert Answers.parse((folder / PACKED).read_bytes()).pictures == Answers.parse(whole).pictures


def test_unreadable_pictures_end_it_or_are_left_out_and_named(folder: Path) -> None:
    broken = folder / "images" / "010.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(InvalidInput, match="capture010"):
        run(folder)
    events = run(folder, skip_unreadable=True)
    assert any(event["type"] == "log" and "capture010" in event["message"] for event in events)
    names = [one.facts.capture_id for one in Answers.parse((folder / PACKED).read_bytes()).pictures]
    assert len(names) == 39 and "capture010" not in names


def test_answers_to_another_request_are_not_gone_on_with(folder: Path) -> None:
    run(folder)
    assert run(folder, seen=())[0]["done"] == 0


def test_a_label_that_the_model_does_not_know_is_wrong(folder: Path) -> None:
    run(folder, labels=("ring", "dots"), version_labels=("ring", "bars"))
    summary = json.loads((folder / SUMMARY).read_text())
    assert summary["labels"] == ["ring", "dots", "bars"]
    assert summary["unknown_labels"] == ["bars"] and summary["absent_labels"] == ["dots"]
    assert summary["right_images"] <= 20 and summary["confusion"][2][2] == 0


def test_a_part_without_pictures_is_refused(folder: Path) -> None:
    items = [item for item in json.loads((folder / "items.json").read_text()) if item["split"] == "validation"]
    (folder / "items.json").write_text(json.dumps(items))
    with pytest.raises(InvalidInput, match="train part"):
        run(folder, part="train")


def test_a_file_that_is_no_model_is_refused(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"not a model")
    with pytest.raises(InvalidInput, match="not a checkpoint"):
        run(folder)


def test_a_model_with_another_number_of_outputs_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="2 values for 3 labels"):
        run(folder, labels=("ring", "bars", "dots"))
