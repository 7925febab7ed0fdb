"""The table "How it learns", of the steps: how large they are, and which epoch is kept."""

from __future__ import annotations

from typing import Any

from scripts.parameters.compared import ACCURACY, ACCURACY_WORDS, EPOCH, LOSS, band, compared, right, timed
from scripts.parameters.data import FEW, VALIDATION
from scripts.parameters.page import Panel
from scripts.parameters.plot import Curves, Line
from scripts.parameters.runs import Run, run
from services.trainer.config import TrainingConfig
from services.trainer.schedule import learning_rate

__all__ = ["PANELS"]

POINTS = 150  # of a curve of the learning rate


def _rates(*varied: tuple[str, str, dict[str, Any]]) -> Curves:
    """By the function that the loop calls before every step."""
    lines = []
    for name, tone, changed in varied:
        config = TrainingConfig(**changed)
        epochs = [config.epochs * index / POINTS for index in range(POINTS + 1)]
        lines.append(Line(name, [(epoch, 1000 * learning_rate(config, epoch)) for epoch in epochs], tone))
    return Curves(lines, EPOCH, "learning rate, thousandths", limits=(0, 0.5), form="{:.1f}".format)


def schedules() -> Curves:
    return _rates(("cosine", "default", {}), ("linear", "large", {"schedule": "linear"}))


def ends() -> Curves:
    return _rates(
        ("0", "small", {"final_learning_rate": 0.0}),
        ("0.02", "default", {}),
        ("0.3", "large", {"final_learning_rate": 0.3}),
    )


def warmups() -> Curves:
    return _rates(("0", "small", {"warmup_epochs": 0.0}), ("1", "default", {}), ("4", "large", {"warmup_epochs": 4.0}))


def optimizers() -> Curves:
    sgd, faster = run(optimizer="sgd"), run(optimizer="sgd", learning_rate=1e-2)
    return compared(("adamw", "default", run()), ("sgd", "small", sgd), ("sgd, learning_rate 0.01", "large", faster))


def averages() -> Curves:
    fast = {"learning_rate": 0.005}
    return compared(("0", "small", run(ema=0.0, **fast)), ("0.99", "default", run(**fast)), chance=False)


def patience() -> Curves:
    lines = [Line("0: all epochs", run().curve(ACCURACY), "faint")]
    for epochs, tone in ((3, "large"), (2, "small")):
        curve = run(patience=epochs).curve(ACCURACY)
        lines.append(Line(f"{epochs}: ends after {len(curve)}", curve, tone, curve[-1:]))
    return Curves(lines, EPOCH, ACCURACY_WORDS, band())


def kept() -> Curves:
    best, last = run("few"), run("few", keep="last")
    curve = best.curve(ACCURACY)
    top = max(curve, key=lambda point: point[1])
    lines = [
        Line(f"{FEW} validation pictures", curve, "faint"),
        Line(f"best: {_unseen(best):.0%} of {VALIDATION - FEW} others", [top], "large", [top]),
        Line(f"last: {_unseen(last):.0%} of them", curve[-1:], "default", curve[-1:]),
    ]
    return Curves(lines, EPOCH, ACCURACY_WORDS)


def shared() -> Curves:
    return compared(
        timed("0", "default", run()),
        timed("2", "large", run(workers=2, threads=1)),
        figure=LOSS, form="{:.2f}".format,
    )  # fmt: skip


def _unseen(one: Run) -> float:
    """Accuracy on what the training with few validation pictures did not have."""
    others = right(one)[FEW:]
    return sum(others) / len(others)


PANELS = (
    Panel(
        ("optimizer",),
        "With adamw's learning rate sgd hardly moves; with twenty times that it did better here than adamw.",
        optimizers,
    ),
    Panel(
        ("schedule",),
        "The learning rate of every step: a cosine stays high for longer, then low for longer.",
        schedules,
    ),
    Panel(("final_learning_rate",), "What share of the learning rate the last step still has.", ends),
    Panel(("warmup_epochs",), "Over so many epochs the learning rate grows at the start.", warmups),
    Panel(
        ("ema",),
        "With learning_rate 0.005, where steps throw the weights about, the average is steadier; the end is alike.",
        averages,
    ),
    Panel(
        ("patience",),
        "The dots: no better epoch for two, or three, in a row, and the training ended. Two were too few here.",
        patience,
    ),
    Panel(
        ("keep",),
        "Which epoch is kept (dots). With few validation pictures the best is chance: on others the last did better.",
        kept,
    ),
    Panel(
        ("workers",),
        "Two processes of one thread each make the same training to rounding; for a network this small they cost time.",
        shared,
    ),
)
