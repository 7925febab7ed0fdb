from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.kmodel_v5.prepare import prepare
from services.trainer.graph import (
    Activation,
    Add,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    InputSpec,
    MaxPool,
    Softmax,
)
from tests.trainer.convert.networks import classifier, conv, graph, pictures, small

BYTE = 1 / 255


def with_input(network: Graph, mean: tuple[float, ...], std: tuple[float, ...]) -> Graph:
    return replace(network, input=InputSpec(3, 32, 32, mean, std))


def residual(*layers: Conv | MaxPool) -> Graph:
    tail = (conv("a", (8, 8)), Add("sum", "stem"), *classifier(4, 8))
    return graph(*layers, conv("stem", (3, 8)), *tail)


@pytest.mark.parametrize(
    "network",
    [
        with_input(small(), (100 * BYTE,) * 3, (0.3,) * 3),
        with_input(small(Activation.relu()), (0.0,) * 3, (1.0, 0.5, 0.25)),
        with_input(residual(), (128 * BYTE,) * 3, (0.5,) * 3),
        residual(MaxPool("first")),
        graph(conv("stem", (3, 8), kernel=1), conv("map", (8, 4), stride=2), mean=0.3, std=0.7),
    ],
    ids=["classifier", "scales", "residual", "pool first", "map"],
)
def test_a_prepared_network_answers_as_before(network: Graph) -> None:
    images = pictures(6)[0]
    if isinstance(network.layers[-1], Softmax):
        network = replace(network, layers=network.layers[:-1])
    np.testing.assert_allclose(prepare(network).graph.run_float(images), network.run_float(images), rtol=0, atol=2e-5)


def test_the_bytes_of_an_image_need_no_arithmetic_of_the_cpu() -> None:
    low, high = prepare(small()).normalisation.input_range
    assert (low, high) == pytest.approx((-128 / 255 / 0.5, 127 / 255 / 0.5))
    assert round(-low / (high - low) * 255, 9) == 128  # the zero point is a whole byte
    assert prepare(small()).normalisation.std == (0, 0, 0)


def test_means_of_several_channels_are_met_exactly_where_nothing_is_padded() -> None:
    network = with_input(graph(conv("stem", (3, 8), kernel=1), *classifier(4, 8)), (0.485, 0.456, 0.406), (0.2,) * 3)
    prepared = prepare(network)
    images = pictures(6)[0]
    np.testing.assert_allclose(prepared.graph.run_float(images), network.run_float(images), rtol=0, atol=2e-5)
    assert prepared.warnings == ()


def test_means_of_several_channels_warn_where_the_first_layer_pads() -> None:
    (warning,) = prepare(with_input(small(), (0.485, 0.456, 0.406), (0.2,) * 3)).warnings
    assert warning.startswith("stem: the KPU pads all channels with one byte, 114; a channel's mean lies 10 bytes")


def test_a_linear_classifier_moves_before_the_average_and_the_softmax_goes() -> None:
    prepared = prepare(small())
    *_, classes, average = prepared.graph.layers
    assert isinstance(classes, Conv) and classes.name == "classes" and isinstance(average, GlobalAveragePool)
    assert prepared.notes[0].startswith("softmax: left out")


def test_a_classifier_with_an_activation_stays_behind_the_average() -> None:
    average, classes = classifier(4, 8)
    assert isinstance(classes, FullyConnected)
    hidden = replace(classes, name="hidden", activation=Activation.relu())
    network = graph(conv("stem", (3, 8)), average, hidden, replace(classes, weight=np.eye(4, dtype=np.float32)))
    assert [type(x) for x in prepare(network).graph.layers] == [type(x) for x in network.layers]


def test_the_stride_of_a_depthwise_layer_moves_to_the_pointwise_one() -> None:
    strides = {x.name: x.stride for x in prepare(small()).graph.layers if isinstance(x, Conv)}
    assert strides == {"stem": 2, "dw1": 1, "pw1": 1, "dw2": 1, "pw2": 2, "classes": 1}


def test_a_depthwise_layer_that_two_read_keeps_its_stride() -> None:
    two = (conv("dw", (8, 8), stride=2, depthwise=True), conv("pw", (8, 8), kernel=1), Add("sum", "dw"))
    layers = prepare(graph(conv("stem", (3, 8)), *two)).graph.layers
    assert isinstance(layers[1], Conv) and layers[1].stride == 2


def test_an_image_that_no_single_convolution_reads_is_normalised_by_nncase() -> None:
    prepared = prepare(residual(MaxPool("first")))
    assert (prepared.normalisation.mean, prepared.normalisation.std) == ((0.5,) * 3, (0.5,) * 3)
    assert "first: the image is normalised on the CPU" in prepared.warnings[0]


def test_a_softmax_that_reads_an_earlier_layer_is_refused_by_name() -> None:
    layers = (conv("stem", (3, 8)), conv("a", (8, 8)), Softmax("early", source="stem"))
    with pytest.raises(UnsupportedModel, match="layer early"):
        prepare(graph(*layers))
