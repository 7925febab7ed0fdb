"""What the trainer reaches, beside its rivals: `bench/train.py --only elpv`, or `make bench ARGS="train …"`.

elpv    defects of solar cells (the ELPV data set, all 2,624 cells, defective from probability 0.5, random 75/25
        split): MobileNetV1-1.0 up to its eighth block, in float and as the K210's int8 kmodel in its simulator, mean
        over the seeds, beside the SVM and the VGG19 of the data set's paper (Deitsch et al., Solar Energy 185, 2019),
        whose figures are quoted, not run. All of it takes minutes on a large card, days on two cores; there
        `--epochs 50 --pooling peaks --seeds 3` is one training of half an hour, and with `--backbone mobilenet_v1_0.5
        --size 128 --epochs 10` minutes.

speed   MobileNetV1-0.25 and -0.5 at 224 on photographs of solar cells: trained pictures a second, and accuracy on cells
        of neither's training, each beside Ultralytics' yolo11n-cls in the same wall time on the same cores.

detection
        a YOLOv2 detector for the K210 at 224 on composed scenes, in float and as a kmodel, beside yolo11n trained as
        long. Ultralytics starts from its downloaded weights only where they lie in <cache>/bench/ultralytics.

Ultralytics runs in an environment of its own; where it cannot be installed its rows say so. The trainings of elpv and
detection are kept in the cache folder: a second run only measures again, and one of elpv that was broken off goes on
after its last epoch. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench.train_detection import detection_race
from bench.train_elpv import ROW, Measured, Recipe, measure, write_folder
from bench.train_speed import SpeedAsked, race
from services.demo.cells import fetch_wheel, read_cells
from services.trainer.config import Pooling
from services.trainer.settings import user_cache_dir

CELLS = 2624
SEEDS = (0, 1, 2)
PAPER_SVM, PAPER_CNN = 0.8244, 0.8842  # Deitsch et al., table of results
GOAL_BYTES = 1_000_000
FASTER = 2.0  # than the peer
SLOWEST = "mobilenet_v1_0.5"
SPEED_EPOCHS = {"mobilenet_v1_0.25": 14, SLOWEST: 8}  # about as many seconds
WITHIN = 0.01  # of mAP50, float to kmodel
Figures = dict[str, Any]


def main() -> int:
    """Exit status 0 when all ran; whether a goal is reached stands in the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(PARTS), action="append")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of elpv, a training each")
    parser.add_argument("--backbone", default=Recipe.backbone)
    parser.add_argument("--size", type=int, default=Recipe.size, help="side of the input, a multiple of 32 from 128")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=ROW,
        help="of the trainings of elpv (bench/train_elpv.py): six numbers, or one for the first training alone",
    )  # fmt: skip
    parser.add_argument("--pooling", choices=get_args(Pooling), default=Recipe.pooling, help="of elpv's network")
    parser.add_argument("--speed-epochs", type=int, default=SPEED_EPOCHS[SLOWEST], help=f"of {SLOWEST}")
    parser.add_argument("--steps", type=int, default=2000, help="of the detector's training, rounded to epochs")
    arguments = parser.parse_args()
    if len(arguments.epochs) not in (1, len(ROW)):
        parser.error(f"--epochs takes 1 or {len(ROW)} numbers")
    print(json.dumps({name: PARTS[name](arguments) for name in arguments.only or PARTS}))
    return 0


def elpv(arguments: argparse.Namespace) -> Figures:
    cache = user_cache_dir()
    recipe = Recipe(cache, arguments.backbone, arguments.size, tuple(arguments.epochs), arguments.pooling)
    pooling = () if recipe.pooling == "average" else (recipe.pooling,)
    name = "-".join(("elpv", recipe.backbone, *pooling, str(recipe.size), *map(str, recipe.epochs)))
    runs = []
    for seed in arguments.seeds:
        folder = cache / "bench" / name / str(seed)
        if not (folder / "test.json").exists():
            cells = read_cells(fetch_wheel(cache), CELLS, seed)
            write_folder(folder, [(f"{cell.name}.png", cell.png, cell.label) for cell in cells])
        runs.append(measure(folder, seed, recipe, _tell))
    Console().print(_table(recipe, runs))
    reached = mean(run.accuracy_kmodel for run in runs)
    return {
        "seeds": [asdict(run) for run in runs],
        "recipe": asdict(recipe) | {"cache": cache.name},
        "accuracy_float": mean(run.accuracy_float for run in runs),
        "accuracy_kmodel": reached,
        "paper_svm": PAPER_SVM,
        "paper_vgg19": PAPER_CNN,
        "goal_reached": reached >= PAPER_CNN and all(run.kmodel_bytes < GOAL_BYTES for run in runs),
    }


def speed(arguments: argparse.Namespace) -> Figures:
    table = Table("", "images/s", "epochs", "seconds", "accuracy", title="Speed of training at 224, 1,924 test cells")
    races: Figures = {}
    for backbone, epochs in SPEED_EPOCHS.items():
        asked = SpeedAsked(backbone, epochs=max(1, round(epochs * arguments.speed_epochs / SPEED_EPOCHS[SLOWEST])))
        with tempfile.TemporaryDirectory() as folder:
            figures = race(user_cache_dir(), Path(folder), asked)
        ours, peer = figures["ours"], figures["peer"]
        for name, row in ((f"boardloop, {backbone}", ours), (_named("yolo11n-cls", peer), peer)):
            if isinstance(row, dict):
                rate, seconds, accuracy = row["images_per_s"], row["seconds"], row["accuracy"]
                table.add_row(name, f"{rate:.1f}", str(row["epochs"]), f"{seconds:.0f}", f"{accuracy:.4f}")
            else:
                table.add_row(name, row, "", "", "")
        if isinstance(peer, dict):
            figures["times_faster"] = ours["images_per_s"] / peer["images_per_s"]
            figures["goal_reached"] = figures["times_faster"] >= FASTER and ours["accuracy"] > peer["accuracy"]
        races[backbone] = figures
    Console().print(table)
    return races


def detection(arguments: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        figures = detection_race(user_cache_dir(), Path(folder), arguments.steps)
    ours, kmodel, peer = figures["ours"], figures["kmodel"], figures["peer"]
    table = Table("", "mAP50", "mAP50-95", "seconds to train", title="Detection of 8 labels at 224, 200 test scenes")
    for name, row in (
        ("boardloop, float", ours),
        ("boardloop, kmodel", kmodel | {"seconds": ours["seconds"]}),
        (_named("yolo11n, float", peer), peer),
    ):
        if isinstance(row, dict):
            table.add_row(name, f"{row['map50']:.4f}", f"{row['map50_95']:.4f}", f"{row['seconds']:.0f}")
        else:
            table.add_row(name, row, "", "")
    Console().print(table)
    figures["kmodel_within_a_point"] = ours["map50"] - kmodel["map50"] <= WITHIN
    return figures


def _named(name: str, peer: Figures | str) -> str:
    if isinstance(peer, str):
        return name
    return f"{name}, {'pretrained' if peer['pretrained'] else 'from random weights: its own cannot be had here'}"


def _tell(event: Figures) -> None:
    if event["type"] == "log":
        print(event["message"], file=sys.stderr)
    elif event["type"] == "epoch":
        print(
            "epoch {epoch} of {epochs}: loss {loss:.3f}, curve {val_accuracy:.3f}, {images_per_s:.0f} images/s".format(
                **event
            ),
            file=sys.stderr,
        )


def _table(recipe: Recipe, runs: list[Measured]) -> Table:
    epochs = " + ".join(map(str, recipe.epochs))
    network = f"{recipe.backbone} at {recipe.size}, pooling {recipe.pooling}"
    title = f"ELPV: {network}, {epochs} epochs, {runs[0].test} test cells"
    table = Table("", "float", "kmodel", "kmodel, bytes", "seconds to train", title=title)
    for run in runs:
        accuracies = (f"{run.accuracy_float:.4f}", f"{run.accuracy_kmodel:.4f}")
        table.add_row(f"seed {run.seed}", *accuracies, f"{run.kmodel_bytes:,}", f"{run.train_seconds:.0f}")
    means = (mean(run.accuracy_float for run in runs), mean(run.accuracy_kmodel for run in runs))
    table.add_row("mean", *(f"{value:.4f}" for value in means), "", "", style="bold")
    table.add_row("paper: SVM, quoted", f"{PAPER_SVM:.4f}", "", "", "")
    table.add_row("paper: VGG19 on a GPU, quoted", f"{PAPER_CNN:.4f}", "", "", "")
    return table


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {"elpv": elpv, "speed": speed, "detection": detection}

if __name__ == "__main__":
    sys.exit(main())
