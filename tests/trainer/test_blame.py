from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.common.fidelity import Score
from services.trainer.blame import blamed
from services.trainer.convert import ConvertOptions, convert
from services.trainer.fidelity import Fidelity, Samples, check_drop, compare, float_outputs, simulate
from services.trainer.graph import Conv, Graph
from tests.trainer.convert.networks import SHAPES, pictures, small

TARGET = "k210-kmodel-v3"
IMAGES = pictures(24, seed=3)[0]


def spoilt(name: str) -> Graph:
    """One convolution whose channels differ so much that 8 bits for all of them leave nothing of most."""

    def scaled(layer: object) -> object:
        if isinstance(layer, Conv) and layer.name == name:
            factors = np.full(len(layer.bias), 1e-4, np.float32)
            factors[0] = 1.0
            return replace(layer, weight=layer.weight * factors[:, None, None, None], bias=layer.bias * factors)
        if isinstance(layer, Conv) and layer.name == "dw2":  # brings the small ones back
            factors = np.full(len(layer.bias), 1e4, np.float32)
            return replace(layer, weight=layer.weight * factors[:, None, None, None])
        return layer

    network = small()
    return replace(network, labels=SHAPES, layers=tuple(map(scaled, network.layers)))  # type: ignore[arg-type]


def measured(graph: Graph, lost: float, blind: bool = True) -> Fidelity:
    """As if its converter could not look into layers, and as if so much accuracy was lost."""
    model = convert(graph, TARGET, IMAGES)
    wanted, got = float_outputs(graph, IMAGES), simulate(model, IMAGES)
    found = compare(graph, model.report, wanted, got, Samples([str(i) for i in range(len(IMAGES))]), 0.02)
    found = replace(found, scores=(Score("accuracy", 0.9, 0.9 - lost),))
    return replace(found, layers=(), weakest_layer="") if blind else found


def test_the_layer_where_the_ratio_falls_is_found_by_halving() -> None:
    graph = spoilt("pw1")
    found = blamed(measured(graph, 0.5), graph, IMAGES, ConvertOptions())
    assert found.weakest_layer == measured(graph, 0.5, blind=False).weakest_layer == "dw2"
    assert sum(layer.snr_db is not None for layer in found.layers) < len(graph.layers) - 1
    with pytest.raises(UnsupportedModel, match="Layer dw2 loses most"):
        check_drop(found)


def test_what_passes_and_what_names_its_layer_is_not_probed() -> None:
    graph = spoilt("pw1")
    good, known = measured(graph, 0.0), measured(graph, 0.5, blind=False)
    assert blamed(good, graph, IMAGES, ConvertOptions()) is good
    assert blamed(known, graph, IMAGES, ConvertOptions()) is known


def test_a_chip_that_takes_no_part_of_the_network_blames_the_last_layer() -> None:
    graph = spoilt("pw1")
    found = blamed(measured(graph, 0.5), graph, IMAGES[:2], ConvertOptions())  # too few to calibrate anything
    assert found.weakest_layer == "classes" and [layer.snr_db is None for layer in found.layers].count(False) == 1
