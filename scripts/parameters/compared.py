"""Runs beside each other as curves, and what their answers say."""

from __future__ import annotations

from functools import cache
from typing import Any

from scripts.parameters.data import LABELS, items_of
from scripts.parameters.plot import Curves, Line, percent
from scripts.parameters.runs import Run, run

__all__ = [
    "ACCURACY",
    "ACCURACY_WORDS",
    "EPOCH",
    "LOSS",
    "SEEDS",
    "band",
    "compared",
    "right",
    "seeded",
    "timed",
    "truth",
]

SEEDS = range(5)
EPOCH, ACCURACY, LOSS = "epoch", "val_accuracy", "val_loss"
ACCURACY_WORDS = "accuracy, validation"
_WORDS = {ACCURACY: ACCURACY_WORDS, LOSS: "loss, validation"}


def seeded(seed: int) -> Run:
    return run(seed=seed) if seed else run()


@cache
def band(figure: str = ACCURACY) -> tuple[tuple[float, float, float], ...]:
    """What the seed alone changes about the plain run."""
    curves = [seeded(seed).curve(figure) for seed in SEEDS]
    ends = [[curve[index][1] for curve in curves] for index in range(len(curves[0]))]
    return tuple((x, min(ys), max(ys)) for (x, _), ys in zip(curves[0], ends, strict=True))


def compared(*runs: tuple[str, str, Run], figure: str = ACCURACY, chance: bool = True, **how: Any) -> Curves:
    """Runs by name and tone; behind a name stands its figure after the last epoch. `chance`: with the seeds' band."""
    form = how.get("form", percent)
    lines = [Line(f"{name}: {form(one.curve(figure)[-1][1])}", one.curve(figure), tone) for name, tone, one in runs]
    return Curves(lines, EPOCH, _WORDS[figure], band(figure) if chance else (), **how)


def timed(name: str, tone: str, one: Run) -> tuple[str, str, Run]:
    """With the seconds that an epoch took."""
    return f"{name}, {one.seconds / len(one.epochs):.1f} s an epoch", tone, one


def truth() -> list[int]:
    """The labels of the validation pictures."""
    return [LABELS.index(item["label"]) for item in items_of("objects")[1] if item["split"] == "validation"]


def right(one: Run) -> list[bool]:
    """Which of them the kept epoch recognises."""
    return [answer.index(max(answer)) == label for answer, label in zip(one.answers, truth(), strict=True)]
