from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from services.common.errors import InvalidInput
from services.trainer.checkpoints import load_checkpoint
from services.trainer.config import HEADS, parse_config
from services.trainer.engine import LocalEngine
from services.trainer.workers import _free_port
from tests.trainer.scenes import write_scenes

STEP = Path(__file__).with_name("parallel_step.py")


def step(out: Path, size: int, head: str) -> list[dict[str, torch.Tensor]]:
    ranks = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    path = {"PYTHONPATH": str(STEP.parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, str(STEP), str(out), head], env=os.environ | path | ranks | {"RANK": str(rank)}
        )
        for rank in range(size)
    ]
    assert [process.wait(120) for process in processes] == [0] * size
    return [torch.load(out / f"{size}-{rank}.pt", weights_only=True) for rank in range(size)]


@pytest.mark.parametrize("head", HEADS)
def test_a_step_of_two_processes_is_that_of_one(tmp_path: Path, head: str) -> None:
    (one,) = step(tmp_path, 1, head)
    for shared in step(tmp_path, 2, head):  # seven pictures: shares of three and four
        assert shared.keys() == one.keys()
        for name, value in one.items():
            assert (shared[name] - value).norm() <= 1e-10 * value.norm(), name


def test_when_a_process_dies_all_go_on_from_the_last_finished_epoch(job_folder: Callable[..., Path]) -> None:
    task = LocalEngine().start("services.trainer.loop", job_folder(epochs=9, threads=1), log="train.log", workers=2)
    events, killed = [], 0
    for event in task.events():
        events.append(event)
        if event.get("epoch", 0) > 1 and not killed:  # of so short an epoch there may be no step event
            ranks = psutil.Process(task.pid).children()  # type: ignore[attr-defined]
            killed = next(one.pid for one in ranks if one.environ()["RANK"] == "1")
            os.kill(killed, signal.SIGKILL)
    words = " ".join(event.get("message", "") for event in events)
    assert killed and "A worker process died" in words and "going on after epoch" in words
    assert events[-1]["type"] == "done" and max(event.get("epoch", 0) for event in events) == 9


@pytest.mark.parametrize("head", ["yolo2", "anchor_free"])
def test_two_workers_train_the_detector_that_one_does(tmp_path: Path, head: str) -> None:
    epochs = []
    for workers in (1, 2):
        # the second batch has nine pictures: shares of four and five
        folder = write_scenes(tmp_path / str(workers), train=17, epochs=1, head=head, learning_rate=1e-6)
        task = LocalEngine().start("services.trainer.loop", folder, log="train.log", workers=workers)
        *_, epoch, done = (event for event in task.events() if event["type"] in ("epoch", "done"))
        assert done["type"] == "done" and load_checkpoint(folder / "best.pt").config.head == head
        epochs.append({name: value for name, value in epoch.items() if "loss" in name})
    assert len(epochs[0]) == 5 and epochs[1] == pytest.approx(epochs[0], rel=0.02)  # bfloat16 on CPUs that have it


def test_a_batch_too_small_for_its_workers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two pictures a worker"):
        parse_config('{"workers": 9, "batch_size": 16}')
