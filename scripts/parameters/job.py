"""The table "What you can set for a job"."""

from __future__ import annotations

from scripts.parameters.compared import ACCURACY_WORDS, EPOCH, LOSS, SEEDS, band, compared, seeded, timed
from scripts.parameters.page import Panel
from scripts.parameters.plot import Bar, Bars, Curves, Line
from scripts.parameters.runs import converted, run
from services.trainer.choices import MAX_ACCURACY_DROP
from services.trainer.estimate import estimate

__all__ = ["PANELS"]

TARGETS = ("k210-kmodel-v3", "v831-awnn-int8", "linux-ncnn-int8", "mcu-tinymaix-int8", "linux-ncnn-fp16", "web-onnx")
WIDTHS = ("mobilenet_v1_0.25", "mobilenet_v1_0.5", "mobilenet_v1_0.75", "mobilenet_v1_1.0")
MIB = 1 << 20


def seeds() -> Curves:
    curves = [seeded(seed).curve("val_accuracy") for seed in SEEDS]
    lines = [Line(str(seed), curve, "faint" if seed else "default") for seed, curve in enumerate(curves)]
    return Curves(lines, EPOCH, ACCURACY_WORDS, band())


def epochs() -> Curves:
    return compared(("5", "small", run(epochs=5)), ("15", "default", run()), ("45", "large", run(epochs=45)))


def batches() -> Curves:
    return compared(
        timed("4", "small", run(batch_size=4)), timed("16", "default", run()), timed("64", "large", run(batch_size=64))
    )


def rates() -> Curves:
    return compared(
        ("0.00005", "small", run(learning_rate=5e-5)),
        ("0.0005", "default", run()),
        ("0.005", "other", run(learning_rate=5e-3)),
        ("0.1", "large", run(learning_rate=0.1)),
        figure=LOSS, limits=(0.9, 1.7), form="{:.1f}".format,
    )  # fmt: skip


def backbones() -> Curves:
    return compared(
        timed("tiny_cnn", "small", run(start="none", backbone="tiny_cnn")),
        timed("mobilenet_v1_0.25", "default", run()),
        timed("mobilenet_v1_0.5", "large", run(backbone="mobilenet_v1_0.5")),
    )


def weights() -> Curves:
    more = run(start="model", epochs=5, learning_rate=1e-4)
    return compared(
        ("none", "small", run(start="none")),
        ("imagenet", "default", run()),
        ("model:<id>, 5 more epochs", "large", more),
    )


def files() -> Bars:
    found = [(target, converted(target)["bytes"] / MIB) for target in TARGETS]
    return Bars([Bar(name, size, f"{size:.2f}") for name, size in found], "MiB of the file")


def drops() -> Bars:
    made = [(target, converted(target)) for target in TARGETS]
    drops = [(name, one["float"] - one["file"]) for name, one in made]
    bars = [Bar(name, drop, f"{100 * drop:.1f}", "default") for name, drop in drops]
    return Bars(bars, "points of accuracy lost", [(MAX_ACCURACY_DROP, "fails beyond")], most=0.035)


def oversize() -> Bars:
    found = [(name, estimate(name, 128, 128, ("a", "b"), TARGETS[0])) for name in WIDTHS]
    bars = [Bar(name, one.ram / MIB, f"{one.ram / MIB:.1f}", "default" if one.fits else "large")
            for name, one in found]  # fmt: skip
    return Bars(bars, "MiB of RAM on a K210", [(found[0][1].budget / MIB, "the most there is")])


PANELS = (
    Panel(
        ("seed",),
        "Five runs that differ in the seed alone: the grey band, here and below, is what chance does.",
        seeds,
    ),
    Panel(
        ("epochs",),
        "Too few and the training ends before it has learned; beyond some twenty, more bring nothing here.",
        epochs,
    ),
    Panel(
        ("batch_size",),
        "A small batch makes more steps of an epoch, and takes longer; a large one makes too few of so few pictures.",
        batches,
    ),
    Panel(
        ("learning_rate",),
        "Too small: the loss hardly falls. Too large: nothing is learned. So few steps want ten times the default.",
        rates,
    ),
    Panel(
        ("backbone",),
        "A larger network recognises more and takes longer. tiny_cnn is small and has no ImageNet weights.",
        backbones,
    ),
    Panel(
        ("weights",),
        "From random weights 240 pictures get hardly beyond guessing (25 %). model: goes on where a model ended.",
        weights,
    ),
    Panel(("target",), "The same network as a file for each chip, at an input of 128.", files),
    Panel(
        ("max_accuracy_drop",),
        "What those conversions cost in the chip's simulator; below 0, chance gave points.",
        drops,
    ),
    Panel(
        ("allow_oversize",),
        "What needs more RAM than any firmware has free (orange) is converted with true only.",
        oversize,
    ),
)
