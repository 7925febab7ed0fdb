"""What changing pictures costs: ours beside kornia.augmentation, batched too, on the same pictures in the same run.

`bench/augment.py`, or `make bench ARGS=augment`. Batches of 16 pictures at 224x224 on the CPU with two threads, median
of nine runs, images a second. "default": mirror, turn, shift and zoom, brightness and contrast, as a training does
without a word; "all": blur, noise, JPEG, hue and saturation and cut-out besides, each with the probability 0.5. Kornia
is installed into an environment of its own, kept in the cache, that sees this one's torch, and left out with a word
where that cannot be done. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from rich.console import Console
from rich.table import Table

from bench.rivals import Rival
from services.common.errors import Unavailable
from services.trainer.augmentation import Changes, augmented
from services.trainer.settings import user_cache_dir

BATCH, SIZE, RUNS, THREADS = 16, 224, 9, 2
ALL = {"blur": 2, "noise": 0.05, "jpeg": 0.7, "hue": 20, "saturation": 0.4, "erase": 0.3}
KORNIA = Rival(
    "kornia-0.9.0",
    ("kornia==0.9.0", "kornia_rs==0.2.0"),
    ("--no-deps",),
    beside=str(Path(torch.__file__).parent.parent),
)
Figures = dict[str, float]

PEER = """
import json, time, statistics, torch
import kornia.augmentation as K
torch.set_num_threads(THREADS)
whole = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
light = [
    K.RandomHorizontalFlip(p=0.5),
    K.RandomAffine(5.0, (0.05, 0.05), (0.95, 1.05), p=1.0, padding_mode="border"),
    K.ColorJiggle(0.15, 0.15, 0.0, 0.0, p=1.0),
]
heavy = [
    K.RandomGaussianBlur((11, 11), (0.1, 2.0), p=0.5),
    K.RandomGaussianNoise(0.0, 0.025, p=0.5),
    K.RandomJPEG(jpeg_quality=(30.0, 100.0), p=0.5),
    K.ColorJiggle(0.0, 0.0, 0.4, 20 / 360, p=0.5),
    K.RandomErasing((0.09, 0.09), (1.0, 1.0), p=0.5),
]
found = {}
for name, kinds in (("default", light), ("all", [*light, *heavy])):
    change = torch.nn.Sequential(*kinds)
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        change(whole.float() / 255)
        times.append(time.perf_counter() - began)
    found[name] = BATCH / statistics.median(times)
print(json.dumps(found))
"""


def main() -> int:
    """Always 0: it says what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default="", help="a Python with torch and kornia")
    asked = parser.parse_args()
    ours, word = _ours(), ""
    peer: Figures = {}
    try:
        peer = _peer(asked.peer_python)
    except Unavailable as error:
        word = str(error)
    table = Table("", "ours, images/s", "kornia, images/s", title=f"{BATCH} pictures at {SIZE}, {THREADS} threads")
    for name, speed in ours.items():
        table.add_row(name, f"{speed:.0f}", f"{peer[name]:.0f}" if peer else "-")
    Console().print(table)
    print(json.dumps({"ours": ours, "kornia": peer or None, "word": word}))
    return 0


def _ours() -> Figures:
    torch.set_num_threads(THREADS)
    whole = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = {}
    for name, changes in (("default", Changes()), ("all", Changes(**ALL))):  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(0)
        found[name] = _speed(partial(_changed, whole, changes, generator))
    return found


def _changed(whole: torch.Tensor, changes: Changes, generator: torch.Generator) -> torch.Tensor:
    return augmented(whole.float() / 255, changes, generator)


def _speed(change: Callable[[], Any]) -> float:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        change()
        times.append(time.perf_counter() - began)
    return BATCH / statistics.median(times)


def _peer(python: str) -> Figures:
    code = PEER
    for name in ("THREADS", "BATCH", "SIZE", "RUNS"):
        code = code.replace(name, str(globals()[name]))
    figures: Figures = KORNIA.answer(Path(python) if python else KORNIA.python(user_cache_dir()), ["-c", code])
    return figures


if __name__ == "__main__":
    sys.exit(main())
