"""Files that PyTorch writes, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from services.trainer.config import Backbone
from services.trainer.convert.onnx_file.read import from_onnx
from services.trainer.graph import Activation, Conv, Graph, MaxPool, Softmax
from services.trainer.model import Classifier, to_graph
from tests.trainer.convert.networks import pictures
from tests.trainer.convert.onnx_file.torch_networks import exported, networks

NETWORKS = networks()


def assert_same_answers(graph: Graph, network: nn.Module) -> None:
    images = pictures(3)[0]
    x = torch.from_numpy(images / np.float32(255))
    with torch.no_grad():
        wanted = network(x * 255 if "InputNormalised" in str(network) else x).flatten(1).numpy()
    got = graph.run_float(images)
    assert np.allclose(got, wanted, atol=1e-5 + 1e-4 * np.abs(wanted).max())


def read(name: str, data: bytes) -> Graph:
    inside = name == "normalised_inside"
    return from_onnx(data, mean=[0] if inside else None, std=[1 / 255] if inside else None)


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_older_exporters_files_answer_as_the_network_did(name: str, opset: int) -> None:
    assert_same_answers(read(name, exported(NETWORKS[name], opset)), NETWORKS[name])


@pytest.mark.parametrize("name", ["mobilenet_v1", "yolo2", "resnet"])
def test_an_open_batch_is_read(name: str) -> None:
    data = exported(NETWORKS[name], input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    assert_same_answers(from_onnx(data), NETWORKS[name])
    fixed = exported(NETWORKS[name], x=torch.zeros(4, 3, 32, 32))
    assert_same_answers(from_onnx(fixed), NETWORKS[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_newer_exporters_files_answer_as_the_network_did(name: str) -> None:
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs: pip install onnxscript")
    assert_same_answers(read(name, exported(NETWORKS[name], 18, dynamo=True, external_data=False)), NETWORKS[name])


@pytest.mark.parametrize("backbone", ["mobilenet_v1_0.25", "mobilenet_v2_0.35", "resnet18_0.25", "darknet_slim_0.5"])
def test_our_own_backbones_come_back_as_the_graph_they_write_themselves(backbone: Backbone) -> None:
    model = Classifier(backbone, 4).eval()
    wanted = to_graph(model, ("a", "b", "c", "d"), 64)
    got = from_onnx(exported(model, x=torch.zeros(1, 3, 64, 64)))
    assert [type(layer) for layer in got.layers] == [type(layer) for layer in wanted.layers]
    assert got.wiring() == wanted.wiring()
    images = pictures(2, size=64)[0]
    assert np.allclose(got.run_float(images), wanted.run_float(images), atol=1e-5)


def test_batch_normalisation_and_activations_go_into_the_convolutions() -> None:
    graph = from_onnx(exported(NETWORKS["yolo2"]), labels=["a", "b", "c"], anchors=[(1, 1), (2, 2)])
    assert [type(layer) for layer in graph.layers] == [Conv, MaxPool, Conv, MaxPool, Conv, Conv]
    assert [layer.activation for layer in graph.layers if isinstance(layer, Conv)] == [
        *[Activation.leaky(0.1)] * 3,
        Activation.none(),
    ]
    assert isinstance(from_onnx(exported(NETWORKS["darknet_classifier"])).layers[-1], Softmax)


def test_layers_have_the_names_of_their_modules() -> None:
    names = [layer.name for layer in from_onnx(exported(NETWORKS["mobilenet_v1"])).layers]
    assert names[0] == "features/features.0/features.0.0" and names[-1] == "linear"


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_other_float_types_are_read(kind: torch.dtype) -> None:
    network = networks()["resnet"]
    data = exported(network.to(kind), x=torch.zeros(1, 3, 32, 32, dtype=kind))
    graph = from_onnx(data)
    assert graph.layers[0].weight.dtype == np.float32  # type: ignore[union-attr]
    wanted = network.float()(torch.from_numpy(pictures(2)[0] / np.float32(255))).detach().numpy()
    assert np.allclose(graph.run_float(pictures(2)[0]), wanted, atol=0.02)
