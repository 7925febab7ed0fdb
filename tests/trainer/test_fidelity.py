from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.common.fidelity import Fidelity, Score
from services.trainer.convert import ConversionReport, LayerReport
from services.trainer.fidelity import Samples, check_drop, compare, float_outputs, histogram, layer_noise
from services.trainer.graph import Graph
from tests.trainer.convert.networks import pictures, small

LABELS = ("cat", "dog")


def network(labels: tuple[str, ...] = LABELS) -> Graph:
    return replace(small(), labels=labels)


def report(*decibels: float | None) -> ConversionReport:
    layers = tuple(LayerReport(f"l{i}", "conv", "KPU", (1,), (0, 1), snr) for i, snr in enumerate(decibels))
    return ConversionReport(
        target="chip", file_size=1, main_memory=1, layers=layers, calibration_images=4, agreement=1, output_snr_db=30
    )


def logits(*first: float) -> np.ndarray:
    """Two outputs a picture; `first`: by how much the first is larger."""
    return np.array([[value, 0.0] for value in first], np.float32)


def measured(wanted: np.ndarray, got: np.ndarray, truth: list[str] | None = None, limit: float = 0.02) -> Fidelity:
    samples = Samples([f"p{index}" for index in range(len(wanted))], truth)
    return compare(network(), report(35, 12, None, 11), wanted, got, samples, limit)


def test_the_same_answers_lose_nothing() -> None:
    outputs = logits(3, -3, 1, -0.5)
    found = measured(outputs, outputs, ["cat", "dog", "dog", "dog"])
    assert (found.scores, found.agreement, found.changed) == ((Score("accuracy", 0.75, 0.75),), 1.0, ())
    assert found.output_snr_db == 120 and found.confidence.counts[10] == 4 and found.drop == 0
    check_drop(found)


def test_changed_answers_come_with_the_largest_loss_first() -> None:
    found = measured(logits(3, 0.1, 2, -1), logits(-0.1, -0.1, -4, -1), ["cat"] * 4)
    assert [change.capture_id for change in found.changed] == ["p2", "p0", "p1"]
    worst = found.changed[0]
    assert (worst.truth, worst.floating.label, worst.converted.label) == ("cat", "cat", "dog")
    assert worst.floating.confidence == pytest.approx(0.8808, abs=1e-4)
    assert worst.converted.confidence == pytest.approx(0.9820, abs=1e-4)
    assert found.agreement == 0.25 and found.changed_count == 3


def test_at_most_ten_changed_pictures_are_kept_and_all_are_counted() -> None:
    found = measured(logits(*[1] * 30), logits(*[-1] * 30))
    assert (len(found.changed), found.changed_count, found.scores, found.classes) == (10, 30, (), ())


def test_each_label_has_its_recalls() -> None:
    found = measured(logits(1, 1, -1, -1), logits(1, -1, -1, -1), ["cat", "cat", "dog", "cat"])
    assert [(one.label, one.support) for one in found.classes] == [("cat", 3), ("dog", 1)]
    assert found.classes[0].floating == pytest.approx(2 / 3) and found.classes[0].converted == pytest.approx(1 / 3)


def test_figures_survive_json_and_nonsense_is_named() -> None:
    found = measured(logits(1, -1), logits(-1, -1), ["cat", "dog"])
    assert Fidelity.from_json(found.to_json()) == found
    with pytest.raises(InvalidInput, match="agreement"):
        Fidelity.from_json(found.to_json() | {"agreement": "much"})


def test_a_drop_over_the_limit_names_the_layer_that_loses_most() -> None:
    wanted, got = logits(*[1] * 100), logits(*[-1] * 4, *[1] * 96)
    with pytest.raises(UnsupportedModel, match=r"from 100.0% .* to 96.0%.*l1 .* from 35.0 dB after l0 to 12.0") as told:
        check_drop(measured(wanted, got, ["cat"] * 100))
    assert told.value.reason == "ACCURACY_DROP" and told.value.metadata == {"layer": "l1"}
    check_drop(measured(wanted, got, ["cat"] * 100, limit=0.04))


def test_a_drop_worth_two_pictures_may_be_chance() -> None:
    check_drop(measured(logits(*[1] * 10), logits(-1, -1, *[1] * 8), ["cat"] * 10, limit=0))
    with pytest.raises(UnsupportedModel):
        check_drop(measured(logits(*[1] * 10), logits(-1, -1, -1, *[1] * 7), ["cat"] * 10, limit=0))


@pytest.mark.parametrize(
    ("decibels", "weakest"),
    [((38, 36, 20, 19), "l2"), ((9, 9, 8), "l0"), ((30, None, 12), "l2"), ((None,), ""), ((), "")],
)
def test_the_weakest_layer_is_where_the_ratio_falls_most(decibels: tuple[float | None, ...], weakest: str) -> None:
    assert layer_noise(report(*decibels))[1] == weakest


def test_a_histogram_is_as_wide_as_its_changes() -> None:
    narrow, wide = histogram(np.array([0.0, 0.003, -0.004])), histogram(np.array([-0.7, 0.0]))
    assert (narrow.edges[0], narrow.edges[-1], wide.edges[0]) == (-0.01, 0.01, -1.0)
    assert sum(narrow.counts) == 3 and wide.counts[10] == 1 and wide.counts[3] == 1


@pytest.mark.parametrize(
    ("wanted", "got", "truth", "word"),
    [
        (logits(1), logits(1, 2), None, "shapes"),
        (logits(), logits(), None, "0 pictures"),
        (logits(1), logits(1), ["bird"], "bird"),
        (np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), None, "2 labels"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    wanted: np.ndarray, got: np.ndarray, truth: list[str] | None, word: str
) -> None:
    with pytest.raises(InvalidInput, match=word):
        measured(wanted, got, truth)


def test_a_last_softmax_is_left_out_of_the_float_outputs() -> None:
    images = pictures(2)[0]
    whole = network(("a", "b", "c", "d"))
    outputs = float_outputs(whole, images)
    assert np.allclose(np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True), whole.run_float(images), atol=1e-6)
