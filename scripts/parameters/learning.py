"""The table "How it learns", of what is learned from which pictures, and how surely."""

from __future__ import annotations

import torch

from scripts.parameters.compared import ACCURACY, ACCURACY_WORDS, EPOCH, band, compared, right, timed, truth
from scripts.parameters.data import LABELS, RARE
from scripts.parameters.page import Panel
from scripts.parameters.plot import Bar, Bars, Curves, Line, percent
from scripts.parameters.runs import EVERY_CHIP, Run, converted, run
from scripts.parameters.tiles import alarms_counted
from services.trainer.heads.classifier import ClassifierHead

__all__ = ["PANELS"]

TUNED = "mcu-tinymaix-int8"
MAP = 16
SURENESS = [0.25 + 0.025 * index for index in range(31)]  # from that of guessing among four labels


def decays() -> Curves:
    return compared(
        ("0", "small", run(weight_decay=0.0)), ("0.05", "default", run()), ("1", "large", run(weight_decay=1.0))
    )


def smoothing() -> Curves:
    smoothed = (("0", "small", run(label_smoothing=0.0)), ("0.1", "default", run()),
                ("0.4", "large", run(label_smoothing=0.4)))  # fmt: skip
    lines = [Line(name, _sure(one), tone) for name, tone, one in smoothed]
    return Curves(lines, "the model is surer than", "share of wrong answers", limits=(0, 1))


def dropouts() -> Curves:
    dropped = (("0", "small", run(dropout=0.0)), ("0.2", "default", run()), ("0.6", "large", run(dropout=0.6)))
    lines = [Line(f"{name}: {one.epochs[-1][ACCURACY]:.0%}", one.curve("loss"), tone) for name, tone, one in dropped]
    return Curves(lines, EPOCH, "loss, training", form="{:.1f}".format)


def pools() -> Curves:
    """What the head's own pooling leaves of marks of so many positions a side, at a corner of a part."""
    lines = []
    for pooling, tone in (("average", "default"), ("peaks", "large")):
        head = ClassifierHead(1, 1, 0.0, pooling).eval()
        torch.nn.init.ones_(head.linear.weight)
        points = []
        for side in range(1, MAP + 1):
            features = torch.zeros(1, 1, MAP, MAP)
            features[..., :side, :side] = 1.0
            points.append((float(side), head(features).item()))
        lines.append(Line(pooling, points, tone))
    return Curves(lines, f"positions a side, of {MAP}", "left of a mark", limits=(0, 1))


def frozen() -> Curves:
    full = {"backbone": "mobilenet_v1_1.0"}
    return compared(
        timed("0", "default", run(**full)),
        timed("0.5", "other", run(freeze=0.5, **full)),
        timed("1", "large", run(freeze=1.0, **full)),
        chance=False,
    )


def balanced() -> Bars:
    bars = []
    for name, tone, one in (
        ("false", "default", run("lopsided")),
        ("true", "large", run("lopsided", balance_classes=True)),
    ):
        for words, share in zip((RARE, "the others"), _recall(one), strict=True):
            bars.append(Bar(f"{name}, {words}", share, percent(share), tone))
    return Bars(bars, "of its validation pictures recognised", most=1.0)


def taught() -> Curves:
    events, epochs = run(distil="mobilenet_v1_0.5").curve(ACCURACY), len(run().epochs)
    lines = []
    for phase, (name, tone) in enumerate((("alone", "default"), ("teacher", "faint"), ("taught", "large"))):
        part = [(epoch - phase * epochs, value) for epoch, value in events[phase * epochs : (phase + 1) * epochs]]
        lines.append(Line(f"{name}: {part[-1][1]:.0%}", part, tone))
    return Curves(lines, EPOCH, ACCURACY_WORDS, band())


def practised() -> Bars:
    said = next(line for line in run(qat_epochs=4, target=TUNED, **EVERY_CHIP).log if " without and " in line)
    before, after = (float(part.split("%")[0].split()[-1]) / 100 for part in said.split(" without and "))
    whole = converted(TUNED)["float"]
    bars = (("in float", whole, "faint"), ("0, in 8 bits", before, "default"), ("4, in 8 bits", after, "large"))
    return Bars([Bar(name, value, f"{value:.1%}", tone) for name, value, tone in bars], "accuracy, validation")


def heads() -> Curves:
    made = (("yolo2", "default", run("detection")), ("anchor_free", "large", run("detection", head="anchor_free")))
    curves = [(name, tone, one.curve("val_map50")) for name, tone, one in made]
    lines = [Line(f"{name}: {curve[-1][1]:.2f}", curve, tone) for name, tone, curve in curves]
    return Curves(lines, EPOCH, "mAP50, validation", form="{:.1f}".format)


def _sure(one: Run) -> list[tuple[float, float]]:
    wrong = [max(answer) for answer, good in zip(one.answers, right(one), strict=True) if not good]
    return [(level, sum(sure > level for sure in wrong) / len(wrong)) for level in SURENESS]


def _recall(one: Run) -> tuple[float, float]:
    """Of the rare label, and of the others."""
    answers = list(zip(right(one), truth(), strict=True))
    rare = [good for good, label in answers if LABELS[label] == RARE]
    others = [good for good, label in answers if LABELS[label] != RARE]
    return sum(rare) / len(rare), sum(others) / len(others)


PANELS = (
    Panel(
        ("weight_decay",),
        "In so short a training it changes nothing that chance does not: it works over thousands of steps.",
        decays,
    ),
    Panel(
        ("label_smoothing",),
        "How many of the wrong answers are given how surely: the more smoothing, the fewer sure mistakes.",
        smoothing,
    ),
    Panel(
        ("dropout",),
        "The more is hidden, the slower are pictures learned by heart. In the legend the validation accuracy: chance.",
        dropouts,
    ),
    Panel(
        ("pooling",),
        "What the pooling leaves of a mark on a map of 16x16: of one at a single position 0.4 % or 6 %.",
        pools,
    ),
    Panel(
        ("freeze",),
        "Of mobilenet_v1_1.0: half of it frozen learns as well and faster; wholly frozen costs accuracy.",
        frozen,
    ),
    Panel(
        ("balance_classes",),
        f"One label, {RARE}, has an eighth of the train pictures of the others: with true it is recognised, they less.",
        balanced,
    ),
    Panel(
        ("distil",),
        "mobilenet_v1_0.25 alone, its teacher, mobilenet_v1_0.5, and the same network taught by it.",
        taught,
    ),
    Panel(
        ("qat_epochs",),
        f"The file for {TUNED} in its simulator, without and with four epochs in 8 bits: no more than chance does.",
        practised,
    ),
    Panel(
        ("head",),
        "Detectors of vehicles, 300 scenes: anchor_free has four times as many cells, and learns faster.",
        heads,
    ),
    Panel(
        ("negatives",),
        "In how many of 60 pictures with a vehicle, and of 60 without, an anchor_free detector sees one.",
        alarms_counted,
    ),
)
