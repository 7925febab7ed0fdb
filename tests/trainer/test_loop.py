from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.common.errors import FailedPrecondition, InvalidInput
from services.trainer import loop, schedule
from services.trainer.config import TrainingConfig
from services.trainer.pictures import Pictures, read_items
from services.trainer.tasks import classification

Events = list[dict[str, Any]]
JobFolder = Callable[..., Path]


def of_type(events: Events, kind: str) -> Events:
    return [event for event in events if event["type"] == kind]


def test_learns_the_difference_and_tells_every_epoch(job_folder: JobFolder, small_weights: Path) -> None:
    folder = job_folder(train=64, epochs=9, weights=str(small_weights))
    events: Events = []
    loop.train(folder, events.append)
    epochs = of_type(events, "epoch")
    assert [event["epoch"] for event in epochs] == list(range(1, 10))
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert all({"val_loss", "val_accuracy", "lr", "images_per_s", "seconds_left"} <= event.keys() for event in epochs)
    kept = loop.load_checkpoint(folder / "best.pt")
    best = max(event["val_accuracy"] for event in epochs)
    assert best >= 0.9  # rings and bars: chance is 0.5
    assert of_type(events, "done") == [{"type": "done", "epoch": kept.epoch, "score": best, "stopped": False}]
    assert kept.labels == ("bars", "ring") and kept.config.epochs == 9


def test_the_kept_checkpoint_answers_as_the_loop_measured(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=2)
    events: Events = []
    loop.train(folder, events.append)
    kept = loop.load_checkpoint(folder / "best.pt")
    items = [item for item in read_items(folder) if item.split == "validation"]
    logits = loop.predict(kept.model, Pictures(folder, items, 96, 96, 2**30)[range(len(items))])
    right = [kept.labels[best] == item.label for best, item in zip(logits.argmax(1), items, strict=True)]
    assert np.mean(right) == pytest.approx(kept.score)


def weights_after(folder: Path, emit: Callable[[dict[str, Any]], None] = lambda event: None) -> torch.Tensor:
    loop.train(folder, emit)
    state = torch.load(folder / "last.pt", weights_only=True)["model"]
    return torch.cat([values.flatten().double() for values in state.values()])


def test_the_same_seed_gives_the_same_weights(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=2, seed=5)
    first = weights_after(folder)
    (folder / "last.pt").unlink()
    assert torch.equal(weights_after(folder), first)
    (folder / "last.pt").unlink()
    config = json.loads((folder / "config.json").read_text()) | {"seed": 6}
    (folder / "config.json").write_text(json.dumps(config))
    assert not torch.equal(weights_after(folder), first)


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_where_it_was(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=3)
    whole = weights_after(folder)
    for name in ("last.pt", "best.pt"):
        (folder / name).unlink()

    def die(event: dict[str, Any]) -> None:
        if event["type"] == "epoch" and event["epoch"] == 3:
            raise Killed

    with pytest.raises(Killed):
        loop.train(folder, die)
    events: Events = []
    assert torch.equal(weights_after(folder, events.append), whole)
    assert [event["epoch"] for event in of_type(events, "epoch")] == [3]
    assert "after epoch 2" in of_type(events, "log")[0]["message"]


def test_a_run_without_patience_ends_early_and_says_so(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=50, patience=2, learning_rate=1e-9)
    events: Events = []
    loop.train(folder, events.append)
    assert len(of_type(events, "epoch")) == 3  # the first, and two that are no better
    assert "Ended early: 2 epochs" in of_type(events, "log")[-1]["message"]
    assert of_type(events, "done")[0] | {"score": 0} == {
        "type": "done", "epoch": 1, "score": 0, "stopped": False
    }  # fmt: skip
    loop.train(folder, events.append)  # started again it has nothing to do
    assert len(of_type(events, "epoch")) == 3


def test_the_last_epoch_is_kept_when_asked(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=3, learning_rate=1e-9, keep="last")
    loop.train(folder, lambda event: None)
    assert loop.load_checkpoint(folder / "best.pt").epoch == 3


def test_the_average_is_what_is_kept(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=1, ema=0.9)
    loop.train(folder, lambda event: None)
    kept, last = (torch.load(folder / name, weights_only=True) for name in ("best.pt", "last.pt"))
    assert all(torch.equal(kept["model"][name], value) for name, value in last["average"]["model"].items())
    assert not torch.equal(kept["model"]["head.linear.weight"], last["model"]["head.linear.weight"])


def test_pictures_that_do_not_fit_the_cache_give_the_same_training(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=1)
    first = weights_after(folder)
    (folder / "last.pt").unlink()
    config = json.loads((folder / "config.json").read_text()) | {"cache_mib": 0}
    (folder / "config.json").write_text(json.dumps(config))
    assert torch.equal(weights_after(folder), first)


def test_a_stop_keeps_the_best_so_far(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=50)
    events: Events = []
    loop.train(folder, events.append, stopping=lambda: len(of_type(events, "epoch")) >= 2)
    done = of_type(events, "done")[0]
    assert done["stopped"] and done["epoch"] <= 2
    assert len(of_type(events, "epoch")) == 2
    assert (folder / "best.pt").exists()


def test_a_stop_in_the_first_epoch_still_leaves_a_model(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=50)
    loop.train(folder, lambda event: None, stopping=lambda: True)
    assert loop.load_checkpoint(folder / "best.pt").epoch == 1


def test_the_child_process_speaks_json_and_ends_on_sigterm(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=1000, threads=1)
    command = [sys.executable, "-m", "services.trainer.loop", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        events: Events = []
        for line in child.stdout:
            events.append(json.loads(line))
            if events[-1]["type"] == "epoch":
                os.kill(child.pid, signal.SIGTERM)
                break
        events += [json.loads(line) for line in child.stdout]
    assert child.returncode == 0
    assert events[0]["type"] == "log" and events[-1]["type"] == "done" and events[-1]["stopped"]


def test_the_child_process_tells_its_error_in_words(job_folder: JobFolder) -> None:
    folder = job_folder()
    broken = folder / "images/007.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    command = [sys.executable, "-m", "services.trainer.loop", str(folder)]
    child = subprocess.run(command, capture_output=True, text=True)
    event = json.loads(child.stdout.splitlines()[-1])
    assert child.returncode == 1 and event["type"] == "error"
    assert event["reason"] == "PICTURE_BROKEN" and "007.jpg" in event["message"] and "capture007" in event["message"]


def test_a_diverging_training_is_told(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=3, optimizer="sgd", learning_rate=1.0, weight_decay=1.0, warmup_epochs=0)
    checkpoint_free: Events = []

    def spoil(event: dict[str, Any]) -> None:
        checkpoint_free.append(event)

    original = classification.F.cross_entropy
    nan = float("nan")
    try:
        classification.F.cross_entropy = lambda logits, *args, **kwargs: original(logits * nan, *args, **kwargs)
        with pytest.raises(FailedPrecondition, match=r"diverged.*learning_rate"):
            loop.train(folder, spoil)
    finally:
        classification.F.cross_entropy = original


def test_learning_rate_warms_up_and_decays() -> None:
    config = TrainingConfig(epochs=10, learning_rate=0.1, final_learning_rate=0.01, warmup_epochs=2)
    rates = [schedule.learning_rate(config, epoch / 4) for epoch in range(41)]
    assert rates[0] == pytest.approx(0.001) and max(rates) == pytest.approx(0.1) and rates.index(max(rates)) == 8
    assert rates[-1] == pytest.approx(0.001)
    assert all(a > b for a, b in pairwise(rates[8:]))


def test_rare_labels_weigh_more_when_balanced() -> None:
    weights = schedule.class_weights(torch.tensor([0] * 9 + [1]), 2)
    assert (weights[1] / weights[0]).item() == pytest.approx(9)


def test_a_last_batch_of_one_joins_its_neighbour() -> None:
    batches = list(schedule.batches(17, 8, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [8, 9]
    assert sorted(torch.cat(batches).tolist()) == list(range(17))


def test_no_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InvalidInput, match=r"best\.pt is not a checkpoint"):
        loop.load_checkpoint(tmp_path / "best.pt")
