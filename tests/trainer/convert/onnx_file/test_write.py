from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.onnx_file.metadata import Metadata, Pixels
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Activation, Add, Graph, MaxPool, Softmax
from tests.trainer.convert.networks import conv, graph, pictures, small


def residual(activation: Activation | None = None) -> Graph:
    """A stem, two residual blocks (the second with an activation behind the sum), a pooling and a map as output."""
    act = activation or Activation.relu()
    return graph(
        conv("stem", (3, 8), stride=2, activation=act),
        conv("dw", (8, 8), depthwise=True, activation=act),
        conv("pw", (8, 8), kernel=1, activation=Activation.none()),
        Add("sum", "stem"),
        conv("again", (8, 8), activation=Activation.none()),
        Add("sum2", "sum", Activation.relu()),
        MaxPool("pool"),
        conv("head", (8, 16), kernel=1, activation=Activation.none()),
    )


def run(data: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(["output"], {"input": x})[0]
    return result


def normalised(network: Graph, images: np.ndarray) -> np.ndarray:
    return ((images / np.float32(255) - network.input.mean[0]) / network.input.std[0]).astype(np.float32)


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize(
    "network", [small(), residual(), residual(Activation.leaky(0.1))], ids=["small", "relu", "leaky"]
)
def test_the_file_gives_the_graphs_answers(network: Graph, opset: int) -> None:
    images = pictures(1)[0]
    got = run(to_onnx(network, opset=opset), normalised(network, images))
    wanted = logits(network).run_float(images)
    assert np.allclose(got.reshape(1, -1), wanted, atol=1e-4 * np.abs(wanted).max())


def logits(network: Graph) -> Graph:
    layers = network.layers[:-1] if isinstance(network.layers[-1], Softmax) else network.layers
    return Graph(network.name, network.input, layers)


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_the_normalisation_can_be_part_of_the_file(pixels: Pixels) -> None:
    images = pictures(3)[0]
    got = run(to_onnx(residual(), pixels=pixels, batch=None), images.astype(pixels))
    assert got.shape == (3, 16, 8, 8)
    wanted = residual().run_float(images)
    assert np.allclose(got.reshape(3, -1), wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_softmax_is_kept_on_request() -> None:
    got = run(to_onnx(small(), softmax=True), normalised(small(), pictures(1)[0]))
    assert np.allclose(got, small().run_float(pictures(1)[0]), atol=1e-5)
    with pytest.raises(UnsupportedModel, match="a softmax of maps in opset 11"):
        to_onnx(graph(conv("a", (3, 8)), Softmax("s")), opset=11, softmax=True)


@pytest.mark.parametrize("batch", [1, None])
def test_every_value_has_a_shape_that_onnx_infers_too(batch: int | None) -> None:
    model = onnx.load_from_string(to_onnx(residual(), batch=batch))
    onnx.checker.check_model(model, full_check=True)
    written = {v.name: v for v in model.graph.value_info}
    outputs = {name for node in model.graph.node for name in node.output} - {"output"}
    assert set(written) == outputs
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    assert {v.name: v.type for v in inferred.graph.value_info} == {name: v.type for name, v in written.items()}


def test_the_same_network_gives_the_same_bytes_with_its_metadata() -> None:
    network = Graph("net", small().input, small().layers, ("a", "b", "c", "d"), ((1.5, 2.0),))
    data = to_onnx(network)
    assert data == to_onnx(network)
    model = onnx.load_from_string(data)
    assert model.ir_version == 7 and model.opset_import[0].version == 13
    (entry,) = model.metadata_props
    assert entry.key == "boardloop"
    read = Metadata.from_json(entry.value)
    assert read == Metadata.of(network, "normalised")
    assert read.labels == ("a", "b", "c", "d") and read.anchors == ((1.5, 2.0),)


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "bgr"},
        {"labels": [1]},
        {"labels": 7},
        {"mean": ["x"]},
        {"anchors": [[1]]},
        {"std": [float("nan")] * 3},
    ],
)
def test_damaged_metadata_is_refused(change: dict[str, object]) -> None:
    fields = json.loads(Metadata.of(small(), "uint8").to_json()) | change
    for text in (json.dumps(fields), "[]", "{", "[" * 100_000):
        with pytest.raises(UnsupportedModel, match="metadata entry 'boardloop'"):
            Metadata.from_json(text)


def test_an_opset_that_is_not_written_is_refused() -> None:
    with pytest.raises(InvalidInput, match="opset 18 is not one of 11 to 17"):
        to_onnx(small(), opset=18)
    with pytest.raises(InvalidInput, match="has no layers"):
        to_onnx(graph())
