from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.lower import input_normalisation, lower
from services.trainer.convert.ncnn_bin import write_weights
from services.trainer.convert.ncnn_text import write_param
from services.trainer.graph import Activation, Graph, InputSpec, MaxPool, Softmax
from tests.trainer.convert.awnn.conftest import residual
from tests.trainer.convert.networks import classifier, conv, graph, small

ncnn = pytest.importorskip("ncnn", reason="ncnn's runtime is not installed: pip install ncnn")


def in_ncnn(network: Graph, images: npt.NDArray[np.uint8], folder: Path) -> npt.NDArray[np.float32]:
    """The lowered float network, run by ncnn's own runtime on (u8 - mean)*norm."""
    done = lower(network)
    (folder / "n.param").write_text(write_param(done.layers))
    (folder / "n.bin").write_bytes(write_weights(done.layers, done.weights))
    net = ncnn.Net()
    net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_fp16_packed = False
    net.opt.use_winograd_convolution = net.opt.use_bf16_storage = False
    net.opt.num_threads = 1
    assert net.load_param(str(folder / "n.param")) == 0 and net.load_model(str(folder / "n.bin")) == 0
    mean, norm = (np.array(v, np.float32)[:, None, None] for v in (done.mean, done.norm))
    outputs = []
    for image in images:
        with net.create_extractor() as extractor:
            pixels = np.ascontiguousarray((image.astype(np.float32) - mean) * norm)
            extractor.input("input0", ncnn.Mat(pixels).clone())
            outputs.append(np.array(extractor.extract("output0")[1]).ravel().copy())
    return np.stack(outputs)


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.5,) * 3, (0.5,) * 3), ((0.0,) * 3, (1.0,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))],
)
def test_the_float_network_is_the_trained_one_at_every_normalisation(
    images: npt.NDArray[np.uint8],
    tmp_path: Path,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    network = replace(residual(), input=InputSpec(3, 32, 32, mean, std))
    wanted = network.run_float(images)
    np.testing.assert_allclose(in_ncnn(network, images, tmp_path), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_depthwise_layers_are_dense_and_answer_the_same(images: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    network = small(Activation.relu())
    wanted = replace(network, layers=network.layers[:-1]).run_float(images)
    np.testing.assert_allclose(in_ncnn(network, images, tmp_path), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    done = lower(network)
    assert {layer.type for layer in done.layers} == {"Input", "Convolution", "ReLU", "Pooling", "InnerProduct"}
    assert any("dw1: the NPU has no depthwise" in warning for warning in done.warnings)


def test_the_usual_normalisation_is_that_of_the_vendors_examples() -> None:
    assert input_normalisation(InputSpec(3, 8, 8, (0.5,) * 3, (0.5,) * 3)) == ((127.5,) * 3, (0.0078125,) * 3)


@pytest.mark.parametrize("mean", [0.0, 0.3, 0.485, 0.999])
def test_no_pixel_leaves_the_range_that_int8_holds(mean: float) -> None:
    means, norms = input_normalisation(InputSpec(3, 8, 8, (mean,) * 3, (1.0,) * 3))
    assert 0.98 < max(abs(0 - means[0]), abs(255 - means[0])) * norms[0] <= 1


def test_several_readers_of_a_map_get_copies_of_a_split() -> None:
    layers = lower(residual()).layers
    split = next(layer for layer in layers if layer.type == "Split")
    assert split.inputs == ("pool",) and split.outputs == ("pool_0", "pool_1")
    readers = [blob for layer in layers for blob in layer.inputs]
    assert len(readers) == len(set(readers)), "every blob is read once"


def test_names_that_ncnn_cannot_hold_are_changed_and_stay_apart() -> None:
    network = graph(
        conv("a b", (3, 8), activation=Activation.relu()),
        conv("a_b", (8, 8)),
        conv("output0", (8, 8)),
        *classifier(2, 8),
    )
    names = [layer.name for layer in lower(network).layers]
    assert len(names) == len(set(names)) and not any(" " in name for name in names)
    assert [layer.outputs for layer in lower(network).layers].count(("output0",)) == 1


def test_an_odd_map_is_pooled_with_a_warning() -> None:
    network = graph(conv("a", (3, 8), activation=Activation.relu()), MaxPool("p"), *classifier(2, 8), size=(33, 32))
    assert any(warning.startswith("p: 33 x 32") for warning in lower(network).warnings)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (graph(conv("a", (3, 8), activation=Activation.leaky()), *classifier(2, 8)), "layer a: a leaky ReLU"),
        (graph(conv("a", (3, 8), kernel=1), *classifier(2, 8)), "layer a: it works on the image itself"),
        (graph(MaxPool("p"), conv("a", (3, 8)), *classifier(2, 8)), "layer p: it works on the image itself"),
        (graph(conv("a", (3, 8), kernel=9), *classifier(2, 8)), "layer a: a kernel of 9"),
        (graph(conv("a", (3, 8)), Softmax("s"), conv("b", (8, 8))), "layer s: a softmax inside"),
        (graph(conv("a", (3, 8)), MaxPool("p", 5, 5), *classifier(2, 8)), "layer p: windows of 5"),
        (graph(conv("a", (3, 8)), replace(conv("b", (3, 8)), source="image"), *classifier(2, 8)), "a: no .* reads"),
    ],
)  # fmt: skip
def test_what_the_npu_cannot_follow_is_refused_by_name(network: Graph, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        lower(network)
    assert caught.value.fix


def test_grey_images_are_refused() -> None:
    network = Graph("grey", InputSpec(1, 32, 32, (0.5,), (0.5,)), (conv("a", (1, 8)), *classifier(2, 8)))
    with pytest.raises(UnsupportedModel, match="1 channels"):
        lower(network)
