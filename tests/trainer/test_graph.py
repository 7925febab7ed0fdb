from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.graph import (
    IMAGE,
    Activation,
    Add,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    InputSpec,
    Layer,
    MaxPool,
    Softmax,
)

SPEC = InputSpec(2, 4, 6, (0.5, 0.25), (0.5, 0.125))


def ones(name: str, *shape: int, **options: object) -> Conv:
    return Conv(name, np.ones(shape, np.float32), np.zeros(shape[0], np.float32), **options)  # type: ignore[arg-type]


def graph(*layers: Layer) -> Graph:
    return Graph("g", SPEC, layers)


def test_shapes_parameters_and_work() -> None:
    head = FullyConnected("f", np.ones((5, 3), np.float32), np.zeros(5, np.float32))
    g = graph(
        ones("a", 3, 2, 3, 3, padding=1), MaxPool("p"), ones("d", 3, 1, 3, 3, padding=1, stride=2, depthwise=True),
        GlobalAveragePool("g"), head, Softmax("s"),
    )  # fmt: skip
    assert g.shapes() == [(3, 4, 6), (3, 2, 3), (3, 1, 2), (3,), (5,), (5,)]
    assert g.parameters() == (54 + 3) + (27 + 3) + (15 + 5)
    assert g.multiply_adds() == 54 * 24 + 27 * 2 + 15


def test_pixels_are_normalised_by_channel() -> None:
    image = np.zeros((1, 2, 4, 6), np.uint8)
    image[0, 1] = 255
    identity = Conv("i", np.eye(2, dtype=np.float32)[:, :, None, None], np.zeros(2, np.float32))
    out = graph(identity).run_float(image).reshape(2, -1)
    assert np.allclose(out, [[-1.0] * 24, [6.0] * 24])


@pytest.mark.parametrize(
    ("activation", "wanted"),
    [
        (Activation.none(), (-8, 8)),
        (Activation.relu(), (0, 8)),
        (Activation.relu6(), (0, 6)),
        (Activation.leaky(0.5), (-4, 8)),
    ],
)
def test_activations(activation: Activation, wanted: tuple[float, float]) -> None:
    weight = np.array([[8.0], [-8.0]], np.float32)[:, :, None, None].repeat(2, 1) / 12
    image = np.full((1, 2, 4, 6), 0, np.uint8)
    image[:, 1] = 0
    layer = Conv("c", weight * np.array([1, 0], np.float32)[None, :, None, None], np.zeros(2, np.float32))
    out = graph(replace(layer, weight=layer.weight * 12, activation=activation)).run_float(image)
    assert sorted({float(v) for v in out.ravel()}) == list(wanted)


def test_capture_sees_every_layer_and_batches_agree() -> None:
    g = graph(ones("a", 3, 2, 3, 3, padding=1), GlobalAveragePool("g"))
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 4, 6), np.uint8)
    seen: list[tuple[str, tuple[int, ...]]] = []
    whole = g.run_float(images, lambda layer, out: seen.append((layer.name, out.shape)), batch=3)
    assert seen == [("a", (3, 3, 4, 6)), ("g", (3, 3)), ("a", (2, 3, 4, 6)), ("g", (2, 3))]
    assert np.allclose(whole, g.run_float(images, batch=1), atol=1e-5)
    assert g.run_float(images[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([ones("wide", 3, 5, 1, 1)], r"layer wide: the input is \(2, 4, 6\), it needs \(5, h, w\)"),
        ([ones("dw", 3, 1, 3, 3, depthwise=True)], "layer dw: "),
        ([ones("large", 3, 2, 5, 5)], "layer large: .* at least 5 x 5"),
        ([GlobalAveragePool("g"), MaxPool("p")], "layer p: "),
        ([GlobalAveragePool("g"), GlobalAveragePool("h")], "layer h: "),
        ([FullyConnected("f", np.ones((1, 7), np.float32), np.zeros(1, np.float32))], "layer f: .* 7 values"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers: list[Layer], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        graph(*layers).shapes()


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match="uint8"):
        graph(ones("a", 3, 2, 1, 1)).run_float(np.zeros((1, 2, 4, 5), np.uint8))


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (1.0, 1.0)), ((0.5, 0.5), (1.0, 0.0)), ((np.nan, 0.0), (1.0, 1.0))])
def test_a_normalisation_that_cannot_be_is_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput):
        InputSpec(2, 4, 4, mean, std)


def test_a_residual_connection_adds_an_earlier_output() -> None:
    branch = ones("c", 2, 2, 1, 1, source="a")
    g = graph(
        ones("a", 2, 2, 1, 1), ones("b", 2, 2, 1, 1), Add("sum", "a", Activation.relu()), branch, Add("end", "sum")
    )
    assert g.wiring() == [(-1,), (0,), (1, 0), (0,), (3, 2)]
    assert g.last_uses() == [3, 2, 4, 4, 4]
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 4, 6), np.uint8)
    x = images / 255.0
    a = ((x[:, :1] - 0.5) / 0.5 + (x[:, 1:] - 0.25) / 0.125).repeat(2, 1)
    assert np.allclose(g.run_float(images), (np.maximum(3 * a, 0) + 2 * a).reshape(2, -1), atol=1e-3)


def test_a_layer_may_read_the_image() -> None:
    g = graph(ones("a", 2, 2, 1, 1), ones("b", 2, 2, 1, 1, source=IMAGE))
    assert g.wiring() == [(-1,), (-1,)]
    images = np.random.default_rng(0).integers(0, 256, (1, 2, 4, 6), np.uint8)
    assert np.array_equal(g.run_float(images), graph(g.layers[0]).run_float(images))


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([Add("s", "later"), ones("later", 2, 2, 1, 1)], "layer s: it reads 'later'"),
        ([ones("a", 2, 2, 1, 1), ones("a", 2, 2, 1, 1)], "layer a: a second layer"),
        ([ones("a", 3, 2, 1, 1), Add("s", IMAGE)], r"layer s: the input is \(2, 4, 6\), it needs \(3, 4, 6\)"),
    ],
)
def test_wires_that_lead_nowhere_are_named(layers: list[Layer], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        graph(*layers).shapes()
