"""A converted file beside its float network, over the whole validation split.

float logits (n, classes) ──┐
simulated logits ───────────┼──► scores, agreement, the pictures whose answer changed, confidences ──► Fidelity
truth, ids ─────────────────┤                                                                            │
the converter's report ─────┴──► signal-to-noise ratio of every layer, and where it falls most       check_drop
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput, UnsupportedModel
from services.common.fidelity import Answer, Change, ClassChange, Fidelity, Histogram, LayerNoise, Score
from services.trainer.convert import ConversionReport, ConvertedModel, simulator
from services.trainer.convert.common import agreement, snr_db
from services.trainer.evaluate import softmax
from services.trainer.graph import Graph, Softmax
from services.trainer.pictures import Pictures

__all__ = [
    "CHANGED_SHOWN",
    "GOOD_DB",
    "Fidelity",
    "Samples",
    "check_drop",
    "compare",
    "costs_too_much",
    "float_outputs",
    "histogram",
    "simulate",
]

Images = npt.NDArray[np.uint8]
Outputs = npt.NDArray[np.float32]

CHANGED_SHOWN = 10
NOISE_PICTURES = 2  # a drop by so few pictures may be chance
GOOD_DB = 40.0  # what a layer of 8 bits keeps when all is well: the fall of the first one is counted from here
_BINS = 21  # odd: the middle one is "no change"
_WIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SIMULATED_AT_ONCE = 16
_ROUNDING = 1e-9  # 1.0 - 0.96 is a little more than 0.04


@dataclass(frozen=True)
class Samples:
    """The pictures measured on: an id each and, where it is known, the true label of each."""

    ids: Sequence[str]
    truth: Sequence[str] | None = None


def float_outputs(graph: Graph, images: Images) -> Outputs:
    """What a converted file is to answer: (n, outputs) before a last softmax. Needs torch."""
    if isinstance(graph.layers[-1], Softmax):
        graph = replace(graph, layers=graph.layers[:-1])
    outputs: Outputs = graph.run_float(images)
    return outputs


def simulate(
    model: ConvertedModel, images: Images | Pictures, tell: Callable[[int], None] = lambda done: None
) -> Outputs:
    """The file's outputs (n, outputs); `tell(pictures so far)`. UnsupportedModel when they are not finite."""
    chip = simulator(model.target, model.data)
    parts = []
    for start in range(0, len(images), _SIMULATED_AT_ONCE):
        parts.append(chip.run(images[start : start + _SIMULATED_AT_ONCE]))
        tell(min(start + _SIMULATED_AT_ONCE, len(images)))
    outputs = np.concatenate(parts)
    if not np.isfinite(outputs).all():
        raise UnsupportedModel(
            "OUTPUT_NOT_FINITE",
            f"the file for {model.target} answers with NaN or infinity.",
            fix="Train again with a lower learning rate, or choose another target.",
        )
    return outputs


def compare(
    graph: Graph, report: ConversionReport, wanted: Outputs, got: Outputs, samples: Samples, limit: float
) -> Fidelity:
    """Fidelity of a classifier from its float and simulated outputs (n, classes); detectors: fidelity_detector."""
    labels = graph.labels or tuple(str(index) for index in range(wanted.shape[1]))
    _check_shapes(wanted, got, samples, labels)
    floating, converted = softmax(wanted), softmax(got)
    layers, weakest = layer_noise(report)
    change = _confidence_change(floating, converted)
    changed = np.flatnonzero(floating.argmax(1) != converted.argmax(1))
    order = changed[np.argsort(change[changed], kind="stable")]
    scores, classes = _scores(floating, converted, samples.truth, labels)
    return Fidelity(
        target=report.target,
        task="classifier",
        images=len(wanted),
        scores=scores,
        max_accuracy_drop=limit,
        agreement=agreement(wanted, got),
        output_snr_db=snr_db(wanted, got),
        layers=layers,
        weakest_layer=weakest,
        changed_count=len(changed),
        changed=tuple(_change(int(i), floating, converted, samples, labels) for i in order[:CHANGED_SHOWN]),
        confidence=histogram(change),
        classes=classes,
    )


def costs_too_much(fidelity: Fidelity) -> bool:
    """Whether more was lost than the limit. A loss that is worth two pictures or fewer may be chance, and passes."""
    return fidelity.drop > max(fidelity.max_accuracy_drop, NOISE_PICTURES / fidelity.images) + _ROUNDING


def check_drop(fidelity: Fidelity) -> None:
    """UnsupportedModel (ACCURACY_DROP) names the layer that loses most when the conversion cost more than its limit."""
    if not costs_too_much(fidelity):
        return
    worst = max(fidelity.scores, key=lambda score: score.floating - score.converted)
    layer = fidelity.weakest_layer
    raise UnsupportedModel(
        "ACCURACY_DROP",
        f"{fidelity.target}: {worst.name} falls from {worst.floating:.1%} in float to {worst.converted:.1%} in the "
        f"chip's simulator, over {fidelity.images} pictures; at most {fidelity.max_accuracy_drop:.1%} may be lost. "
        f"{_blame(fidelity)}",
        fix="Train longer or with ReLU6, calibrate with pictures of all labels, try weight_range mse or another "
        "target, or allow more with max_accuracy_drop.",
        layer=layer,
    )


def layer_noise(report: ConversionReport) -> tuple[tuple[LayerNoise, ...], str]:
    """The report's layers, and the one where the signal-to-noise ratio falls most below the measured one before it."""
    layers = tuple(LayerNoise(layer.name, layer.type, layer.unit, layer.snr_db) for layer in report.layers)
    before, largest, weakest = GOOD_DB, float("-inf"), ""
    for layer in layers:
        if layer.snr_db is None:
            continue
        if before - layer.snr_db > largest:
            largest, weakest = before - layer.snr_db, layer.name
        before = layer.snr_db
    return layers, weakest


def histogram(change: npt.NDArray[np.float64]) -> Histogram:
    """Of changes in [-1, 1], as wide as they are, the same to both sides, with 0 in the middle of a bin."""
    reach = float(np.abs(change).max(initial=0.0))
    width = next((width for width in _WIDTHS if reach <= width), 1.0)
    counts, edges = np.histogram(change.clip(-width, width), _BINS, (-width, width))
    return Histogram(tuple(round(float(edge), 6) for edge in edges), tuple(int(count) for count in counts))


def _blame(fidelity: Fidelity) -> str:
    measured = [layer for layer in fidelity.layers if layer.snr_db is not None]
    for before, layer in zip([None, *measured], measured, strict=False):
        if layer.name == fidelity.weakest_layer:
            came = "" if before is None else f" from {before.snr_db:.1f} dB after {before.name}"
            return f"Layer {layer.name} loses most: its signal-to-noise ratio falls{came} to {layer.snr_db:.1f} dB."
    return (
        f"The output's signal-to-noise ratio is {fidelity.output_snr_db:.1f} dB; this target's converter does not "
        "measure single layers."
    )


def _check_shapes(wanted: Outputs, got: Outputs, samples: Samples, labels: Sequence[str]) -> None:
    counts = {len(wanted), len(got), len(samples.ids), len(wanted if samples.truth is None else samples.truth)}
    if wanted.shape != got.shape or len(counts) != 1 or not len(wanted) or wanted.shape[1:] != (len(labels),):
        raise InvalidInput(
            "EVALUATION_SHAPE",
            f"{len(samples.ids)} pictures and {len(labels)} labels, but outputs of the shapes {list(wanted.shape)} "
            f"(float) and {list(got.shape)} (converted).",
            fix="Give as many labels as the network has outputs, and at least one picture.",
        )
    unknown = sorted(set(samples.truth or ()) - set(labels))
    if unknown:
        raise InvalidInput(
            "LABEL_UNKNOWN",
            f"The model does not know the labels {', '.join(unknown)}; it knows {', '.join(labels)}.",
            fix="Name the folders like the model's labels, or give the labels in the order of the outputs.",
        )


def _confidence_change(
    floating: npt.NDArray[np.float64], converted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """By picture: how much surer the file is of the float network's answer; negative: less sure."""
    rows, answers = np.arange(len(floating)), floating.argmax(1)
    change: npt.NDArray[np.float64] = converted[rows, answers] - floating[rows, answers]
    return change


def _change(
    index: int,
    floating: npt.NDArray[np.float64],
    converted: npt.NDArray[np.float64],
    samples: Samples,
    labels: Sequence[str],
) -> Change:
    def answer(row: npt.NDArray[np.float64]) -> Answer:
        return Answer(labels[int(row.argmax())], round(float(row.max()), 6))

    truth = samples.truth[index] if samples.truth is not None else ""
    return Change(samples.ids[index], truth, answer(floating[index]), answer(converted[index]))


def _scores(
    floating: npt.NDArray[np.float64],
    converted: npt.NDArray[np.float64],
    truth: Sequence[str] | None,
    labels: Sequence[str],
) -> tuple[tuple[Score, ...], tuple[ClassChange, ...]]:
    if truth is None:
        return (), ()
    actual = np.array([labels.index(label) for label in truth])
    right = [(one.argmax(1) == actual) for one in (floating, converted)]
    classes = []
    for index, label in enumerate(labels):
        mine = actual == index
        recalls = [float(one[mine].mean()) if mine.any() else 0.0 for one in right]
        classes.append(ClassChange(label, int(mine.sum()), *recalls))
    return (Score("accuracy", float(right[0].mean()), float(right[1].mean())),), tuple(classes)
