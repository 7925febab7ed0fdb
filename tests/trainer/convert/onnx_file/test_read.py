from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.trainer.convert.onnx_file.read import from_onnx
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Activation, Conv, FullyConnected, Graph
from tests.trainer.convert.networks import pictures, pooled, small
from tests.trainer.convert.onnx_file.test_write import logits, residual

NETWORKS = {"small": small(), "leaky": residual(Activation.leaky(0.1)), "relu": residual(), "pooled": pooled()}


def layers_of(graph: Graph) -> list[dict[str, object]]:
    """Everything a layer is, with its weights as bytes."""
    fields = []
    for layer, sources in zip(graph.layers, graph.wiring(), strict=True):
        values = {key: v.tobytes() if isinstance(v, np.ndarray) else v for key, v in vars(layer).items()}
        values.pop("source")  # the layer before, by name or by nothing
        fields.append({"type": type(layer), "reads": sources, **values})
    return fields


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_comes_back_as_it_was(name: str, opset: int) -> None:
    network = replace(NETWORKS[name], labels=(), name=f"net {name}")
    again = from_onnx(to_onnx(network, opset=opset))
    assert layers_of(again) == layers_of(logits(network))
    assert (again.name, again.input) == (network.name, network.input)


def test_a_softmax_that_was_kept_comes_back() -> None:
    again = from_onnx(to_onnx(small(), softmax=True))
    assert layers_of(again) == layers_of(small())


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize("batch", [1, None])
def test_normalisation_in_the_file_becomes_the_input_again(pixels: str, batch: int | None) -> None:
    spec = replace(small().input, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    network = replace(small(), input=spec)
    again = from_onnx(to_onnx(network, pixels=pixels, batch=batch))  # type: ignore[arg-type]
    assert again.input == spec
    assert np.array_equal(again.run_float(pictures(4)[0]), logits(network).run_float(pictures(4)[0]))


def test_labels_and_anchors_come_from_the_file_or_from_the_caller() -> None:
    anchors = ((1.0, 2.0), (3.0, 3.5))
    network = replace(residual(), labels=("cat", "dog", "owl"), anchors=anchors)
    data = to_onnx(network)
    again = from_onnx(data)
    assert (again.labels, again.anchors) == (network.labels, anchors)
    renamed = from_onnx(data, labels=["a", "b", "c"], anchors=[(1, 1), (2, 2)], name="other", mean=[0], std=[1, 2, 3])
    assert (renamed.labels, renamed.anchors, renamed.name) == (("a", "b", "c"), ((1.0, 1.0), (2.0, 2.0)), "other")
    assert (renamed.input.mean, renamed.input.std) == ((0.0,) * 3, (1.0, 2.0, 3.0))


def test_weights_behind_a_flattened_map_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    head = FullyConnected("head", rng.normal(size=(4, 8 * 4)).astype(np.float32), np.zeros(4, np.float32))
    network = replace(residual(), layers=(*residual().layers[:1], small_map(), head))
    again = from_onnx(to_onnx(network))
    assert np.array_equal(again.run_float(pictures(2)[0]), network.run_float(pictures(2)[0]))


def small_map() -> Conv:
    rng = np.random.default_rng(1)
    return Conv("valid", rng.normal(size=(8, 8, 15, 15)).astype(np.float32), np.zeros(8, np.float32))
