from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from services.trainer.graph import Activation, Add, Conv, Graph
from services.trainer.quantisation.network import QuantisedNetwork
from services.trainer.quantisation.scheme import SCHEMES
from tests.trainer.convert.networks import classifier, conv, graph


def network() -> Graph:
    first = conv("first", (3, 8), stride=2)
    deep = conv("deep", (8, 8), depthwise=True, activation=Activation.relu())
    wide = conv("wide", (8, 8), kernel=1, activation=Activation.none())
    return graph(first, deep, wide, Add("sum", "first", Activation.relu()), *classifier(3, 8), size=(16, 16))


def pictures(n: int = 8) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("target", SCHEMES)
def test_without_rounding_it_is_the_graph_and_with_it_nearly(target: str) -> None:
    bytes_ = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8)
    whole = network()
    x = (torch.from_numpy(bytes_).float() / 255 - 0.5) / 0.5
    rounding = QuantisedNetwork(whole, SCHEMES[target])
    rounding.set_ranges(x)
    wanted = whole.run_float(bytes_)
    np.testing.assert_allclose(rounding.in_float(x).numpy(), wanted, atol=1e-5)
    error = np.abs(rounding(x)[0].detach().numpy() - wanted).max()
    assert 0 < error < 0.05 * np.abs(wanted).max()


def test_every_map_that_a_signed_chip_reads_has_at_most_255_values() -> None:
    last = conv("last", (3, 4), kernel=1, activation=Activation.none())
    rounding = QuantisedNetwork(graph(last, size=(16, 16)), SCHEMES["v831-awnn-int8"])
    rounding.set_ranges(pictures())
    assert 100 < len(rounding(pictures())[0].unique()) <= 255


def test_gradients_pass_through_the_rounding_to_every_weight() -> None:
    rounding = QuantisedNetwork(network(), SCHEMES["k210-kmodel-v3"])
    rounding.set_ranges(pictures())
    rounding(pictures())[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in rounding.parameters())


def test_ncnn_rounds_neither_depthwise_layers_nor_those_on_the_image() -> None:
    whole = network()
    scheme = SCHEMES["linux-ncnn-int8"]
    rounded = [
        scheme.rounds_weights(layer, wires[0]) for layer, wires in zip(whole.layers, whole.wiring(), strict=True)
    ]
    assert rounded == [False, False, True, False, False, True]


def test_the_weights_come_back_as_a_graph_that_answers_alike() -> None:
    whole = network()
    rounding = QuantisedNetwork(whole, SCHEMES["mcu-tinymaix-int8"])
    with torch.no_grad():
        rounding.weights[0].mul_(1.5)
    changed = rounding.tuned().layers[0]
    assert isinstance(changed, Conv) and isinstance(whole.layers[0], Conv)
    np.testing.assert_allclose(changed.weight, whole.layers[0].weight * 1.5, rtol=1e-5)
    assert replace(changed, weight=whole.layers[0].weight).name == "first"
