"""The fine-tuning inside a job: after the training in its child, and compared in the conversion's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.trainer import conversion, loop
from services.trainer.quantisation.tune import FILE

JobFolder = Callable[..., Path]
Events = list[dict[str, Any]]
TARGET = "mcu-tinymaix-int8"
SMALL = {"backbone": "tiny_cnn", "epochs": 2, "qat_epochs": 1}


def test_training_fine_tunes_and_the_conversion_tells_both_accuracies(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=8, **SMALL)
    events: Events = []
    loop.train(folder, events.append, target=TARGET)
    assert {event["epochs"] for event in events if "epochs" in event} == {3}
    assert events[-1]["type"] == "done" and (folder / FILE).exists()
    events.clear()
    result = conversion.finish(folder, TARGET, events.append)
    said = next(event["message"] for event in events if event["type"] == "log")
    assert f"{result.evaluation['accuracy']:.1%}" in said and result.report["notes"][-1] == said
    told = [event for event in events if event["type"] == "progress"]
    shares = [(one["file"] - 1 + one["done"] / one["total"]) / one["files"] for one in told]
    assert shares == sorted(shares) and shares[-1] == 1 and {one["file"] for one in told} == {1, 2}


def test_a_stop_in_mid_training_leaves_the_fine_tuning_out(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=8, **SMALL)
    events: Events = []
    loop.train(folder, events.append, lambda: any(event["type"] == "epoch" for event in events), TARGET)
    assert events[-1]["stopped"] and not (folder / FILE).exists()
    result = conversion.finish(folder, TARGET, events.append)
    assert not any("fine-tuning" in note for note in result.report["notes"])


def test_without_the_option_nothing_is_fine_tuned(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=8, **SMALL | {"qat_epochs": 0, "epochs": 1})
    loop.train(folder, lambda event: None, target=TARGET)
    assert not (folder / FILE).exists()
