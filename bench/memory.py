"""Whether training needs more memory for more pictures: `bench/memory.py`, or `make bench ARGS=memory`.

Job folders of 1,000 and of 100,000 pictures, hard links to 200 different JPEGs of 640x480 (the memory does not know the
difference; the disk has to read less), in a process each: items.json is read, then the training's own loop runs with
augmentation and the cache switched off, and a part of the validation split is measured. The number of batches is
bounded, so that it takes a minute or two; the peak is that of the process (ru_maxrss). Before that it is measured after
the imports and the network, so that what the pictures take is seen on its own.

The last line is one JSON object; exit status 1 when 100,000 pictures take over 64 MiB more than 1,000.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from services.trainer.children import ENVIRONMENT

FLAT_MIB = 64.0
DIFFERENT, SIDES, SPLIT = 200, (640, 480), 10  # every tenth picture is for validation
Figures = dict[str, Any]


def main() -> int:
    """Exit status 1 when memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(_trained(asked.child, asked.batches)))
        return 0
    runs = []
    with tempfile.TemporaryDirectory() as place:
        for count in asked.pictures:
            folder = _folder(Path(place), count, asked.size)
            command = [sys.executable, __file__, "--child", str(folder), "--batches", str(asked.batches)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=ENVIRONMENT | os.environ)
            runs.append({"pictures": count, **json.loads(done.stdout.splitlines()[-1])})
    table = Table("pictures", "before, MiB", "items read, MiB", "peak, MiB", "images/s", title="Memory of a training")
    for run in runs:
        table.add_row(
            f"{run['pictures']:,}", *(f"{run[key]:.0f}" for key in ("before", "items", "peak", "images_per_s"))
        )
    Console().print(table)
    more = runs[-1]["peak"] - runs[0]["peak"]
    print(json.dumps({"runs": runs, "more_mib": more, "ratio": runs[-1]["peak"] / runs[0]["peak"]}))
    return int(more > FLAT_MIB)


def _folder(place: Path, count: int, size: int) -> Path:
    """A job folder of `count` pictures with two labels."""
    folder = place / str(count)
    (folder / "images").mkdir(parents=True)
    sources = [_jpeg(place / f"{seed}.jpg", seed) for seed in range(DIFFERENT)]
    items = []
    for index in range(count):
        identity = f"{index:032x}"
        os.link(sources[index % DIFFERENT], folder / "images" / f"{identity}.jpg")
        split = "train" if index // 2 % SPLIT else "validation"
        items.append(
            {"id": identity, "file": f"images/{identity}.jpg", "label": ("bars", "plain")[index % 2], "split": split}
        )
    (folder / "items.json").write_text(json.dumps(items))
    settings = {"backbone": "mobilenet_v1_0.25", "input_size": size, "epochs": 1, "cache_mib": 0}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def _jpeg(path: Path, seed: int) -> Path:
    if not path.exists():
        random = np.random.default_rng(seed)
        small = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        out = io.BytesIO()
        small.resize(SIDES, Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
        path.write_bytes(out.getvalue())
    return path


def _trained(folder: Path, batches: int) -> Figures:
    """The loop's own `fit`, ended after so many batches; then the validation split, bounded likewise."""
    from services.trainer.config import parse_config
    from services.trainer.data import Data
    from services.trainer.loop import fit
    from services.trainer.pictures import Pictures

    before = _peak()
    config = parse_config((folder / "config.json").read_text())
    data = Data.read(folder, config)
    items = _peak()
    kept = data.val_pictures.items[: 4 * batches]
    size = config.input_size
    validation = Pictures(folder, kept, size, size, 0)
    bounded = Data(data.pictures, data.targets, validation, data.val_targets[: len(kept)], data.labels)
    speed: list[float] = []

    def emit(event: Figures) -> None:
        if "images_per_s" in event:
            speed.append(event["images_per_s"])

    steps = iter(range(batches))
    fit(folder, config, bounded, emit, lambda: next(steps, None) is None)
    return {"before": before, "items": items, "peak": _peak(), "images_per_s": speed[-1]}


def _peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
