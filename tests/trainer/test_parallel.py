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
from services.trainer.config import parse_config
from services.trainer.engine import LocalEngine
from services.trainer.workers import _free_port

STEP = Path(__file__).with_name("parallel_step.py")


def step(out: Path, size: int) -> list[dict[str, torch.Tensor]]:
    ranks = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    path = {"PYTHONPATH": str(STEP.parents[2])}
    processes = [
        subprocess.Popen([sys.executable, str(STEP), str(out)], env=os.environ | path | ranks | {"RANK": str(rank)})
        for rank in range(size)
    ]
    assert [process.wait(120) for process in processes] == [0] * size
    return [torch.load(out / f"{size}-{rank}.pt", weights_only=True) for rank in range(size)]


def test_a_step_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    (one,) = step(tmp_path, 1)
    for shared in step(tmp_path, 2):  # seven pictures: shares of three and four
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


def test_a_batch_too_small_for_its_workers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two pictures a worker"):
        parse_config('{"workers": 9, "batch_size": 16}')
