"""What it brings that threads share the batch and not each operation: steps of a training both ways, in the same run.

`bench/shares.py`, or `make bench ARGS=shares`. Batches of random pictures on the CPU with two threads: forward,
backward and the optimiser's step by `services/trainer/shares.py`, and by torch's own threads; medians of steps that
take turns, trained images a second. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from services.trainer.children import ENVIRONMENT

if not ENVIRONMENT.items() <= os.environ.items():  # as a job's child process has them, from its start on
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)

import torch
from rich.console import Console
from rich.table import Table

from services.trainer.config import TrainingConfig
from services.trainer.device import autocast
from services.trainer.networks import build
from services.trainer.schedule import make_optimizer
from services.trainer.shares import in_shares

BACKBONES = ("mobilenet_v1_0.25", "mobilenet_v1_0.5", "mobilenet_v1_1.0", "resnet18_0.5")
THREADS = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25, help="of each way")
    parser.add_argument("--batch", type=int, default=16, help="pictures")
    parser.add_argument("--size", type=int, default=224, help="side of a picture, pixels")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    arguments = parser.parse_args()
    batch = arguments.batch
    torch.set_num_threads(THREADS)
    title = f"Trained images/s, batches of {batch} at {arguments.size}, {THREADS} threads"
    table = Table("", "torch's threads", "shares", "times", title=title)
    figures = {}
    for backbone in arguments.backbones:
        ways = [_step(backbone, shares, batch, arguments.size) for shares in (False, True)]
        seconds = [[_timed(way) for way in ways] for _ in range(1 + arguments.steps)][1:]
        whole, shared = (batch / statistics.median(column) for column in zip(*seconds, strict=True))
        table.add_row(backbone, f"{whole:.0f}", f"{shared:.0f}", f"{shared / whole:.2f}")
        figures[backbone] = {"whole": whole, "shares": shared, "times": shared / whole}
    Console().print(table)
    print(json.dumps(figures))
    return 0


def _step(backbone: str, shares: bool, batch: int, size: int) -> Callable[[], None]:
    torch.manual_seed(0)
    config = TrainingConfig.model_validate({"backbone": backbone})
    model = build(config, 2).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network, optimizer = in_shares(model) if shares else model, make_optimizer(model, config)
    x = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with autocast(torch.device("cpu")):
            answers = network(x)
        optimizer.zero_grad(set_to_none=True)
        answers.float().square().mean().backward()
        optimizer.step()

    return step


def _timed(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
