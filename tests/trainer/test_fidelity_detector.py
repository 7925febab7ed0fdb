from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.common.fidelity import Fidelity
from services.trainer.detection import Box, Truth
from services.trainer.fidelity import Outputs, check_drop
from services.trainer.fidelity_detector import compare_detector
from services.trainer.graph import Graph
from tests.trainer.convert.networks import conv, graph
from tests.trainer.test_fidelity import report

LABELS = ("car", "bus")
CELLS = 2
OBJECT = (0.0, 0.0, 0.0, 0.0)  # x, y, w, h: a box in the middle of its cell, of the anchor's size


def network() -> Graph:
    """One anchor of a cell's size, two labels, maps of 2 x 2 cells."""
    return replace(graph(conv("head", (3, 7), stride=2), size=(4, 4)), labels=LABELS, anchors=((1.0, 1.0),))


def maps(*pictures: dict[tuple[int, int], tuple[int, float]]) -> Outputs:
    """By picture: cell -> (label, objectness before the sigmoid); all other cells are empty."""
    found = np.zeros((len(pictures), 7, CELLS, CELLS), np.float32)
    found[:, 4] = -12
    for picture, cells in zip(found, pictures, strict=True):
        for (row, column), (label, objectness) in cells.items():
            picture[4:, row, column] = objectness, -9, -9
            picture[5 + label, row, column] = 9
    return found.reshape(len(pictures), -1)


def truth(*cells: tuple[int, int, int]) -> list[Truth]:
    return [Truth(label, Box(x / 2, y / 2, (x + 1) / 2, (y + 1) / 2)) for y, x, label in cells]


def measured(wanted: Outputs, got: Outputs, truths: list[list[Truth]] | None = None) -> Fidelity:
    ids = [f"p{index}" for index in range(len(wanted))]
    return compare_detector(network(), report(35, 12), wanted, got, ids, truths, 0.02)


def test_the_same_maps_lose_nothing() -> None:
    found = maps({(0, 0): (0, 3.0)}, {})
    fidelity = measured(found, found, [truth((0, 0, 0)), []])
    assert [(s.name, s.floating, s.converted) for s in fidelity.scores] == [("mAP50", 1, 1), ("mAP50-95", 1, 1)]
    assert (fidelity.agreement, fidelity.changed_count, fidelity.task) == (1.0, 0, "detector")


def test_lost_renamed_and_invented_objects_change_an_answer() -> None:
    wanted = maps({(0, 0): (0, 3.0)}, {(0, 0): (0, 1.0)}, {}, {(0, 0): (0, 3.0), (1, 1): (0, 2.0)})
    got = maps({}, {(0, 0): (1, 1.0)}, {(0, 1): (1, 0.4)}, {(0, 0): (0, 2.9), (1, 1): (0, 2.0)})
    fidelity = measured(wanted, got, [truth((0, 0, 0)), truth((0, 0, 0)), [], truth((0, 0, 0), (1, 1, 0))])
    assert [change.capture_id for change in fidelity.changed] == ["p0", "p1", "p2"]
    assert [change.converted.label for change in fidelity.changed] == ["", "bus", "bus"]
    assert (fidelity.changed[0].truth, fidelity.agreement) == ("car", 0.25)
    assert fidelity.scores[0].floating == 1 and fidelity.scores[0].converted == pytest.approx(0.5, abs=0.01)
    assert fidelity.classes[0].support == 4 and sum(fidelity.confidence.counts) == 3


def test_several_objects_of_a_label_are_counted_in_words() -> None:
    fidelity = measured(maps({(0, 0): (0, 3.0), (1, 1): (0, 2.0), (0, 1): (1, 1.0)}), maps({}))
    assert fidelity.changed[0].floating.label == "2 × car, bus" and fidelity.scores == ()


def test_a_detector_that_loses_its_objects_is_refused() -> None:
    wanted = maps(*[{(0, 0): (0, 3.0)}] * 8)
    with pytest.raises(UnsupportedModel, match=r"mAP50 falls from 100\.0%"):
        check_drop(measured(wanted, maps(*[{}] * 8), [truth((0, 0, 0))] * 8))


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match="shapes"):
        measured(maps({}), maps({}, {}))
