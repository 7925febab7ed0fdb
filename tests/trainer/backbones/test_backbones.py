"""What the papers and the chips say of each network; that graphs compute the same is in tests/trainer/test_model.py."""

from __future__ import annotations

import pytest

from services.trainer.backbones import BACKBONES
from services.trainer.backbones.blocks import divisible
from services.trainer.backbones.efficientnet_lite import EfficientNetLite
from services.trainer.backbones.mobilenet_v2 import MobileNetV2
from services.trainer.backbones.resnet18 import ResNet18
from services.trainer.backbones.tiny_cnn import TinyCnn
from services.trainer.graph import Add, Conv, Graph, MaxPool
from services.trainer.model import input_spec

K210 = [name for name in BACKBONES if not name.startswith("efficientnet_lite")]
DENSE = [name for name in BACKBONES if name.startswith(("resnet18", "darknet"))]


def graph_of(name: str, height: int = 128, width: int = 128) -> Graph:
    return Graph(name, input_spec(height, width), BACKBONES[name]().eval().graph_layers())


@pytest.mark.parametrize("name", BACKBONES)
def test_the_last_map_is_as_small_as_its_stride_says(name: str) -> None:
    backbone, graph = BACKBONES[name](), graph_of(name, 224, 320)
    assert graph.shapes()[-1] == (backbone.channels, 224 // backbone.stride, 320 // backbone.stride)
    assert backbone.stride == (16 if name.endswith("cut8") else 32)


@pytest.mark.parametrize("name", K210)
def test_networks_for_the_k210_stay_within_its_limits(name: str) -> None:
    graph = graph_of(name, 224, 320)
    convolutions = [layer for layer in graph.layers if isinstance(layer, Conv)]
    assert BACKBONES[name]().channels <= 1024 and {layer.weight.shape[2] for layer in convolutions} <= {1, 3}
    assert {layer.size for layer in graph.layers if isinstance(layer, MaxPool)} <= {2}


@pytest.mark.parametrize(("variant", "size", "millions", "work"), [(0, 224, 4.65, 407), (2, 260, 6.09, 887)])
def test_efficientnet_lite_has_the_size_that_its_authors_tell(
    variant: int, size: int, millions: float, work: int
) -> None:
    # tensorflow/tpu, models/official/efficientnet/lite: parameters with the 1000 classes of ImageNet, multiply-adds
    graph = Graph("lite", input_spec(size, size), EfficientNetLite(variant).eval().graph_layers())
    assert graph.parameters() / 1e6 == pytest.approx(millions - 1.281, rel=0.02)
    assert graph.multiply_adds() / 1e6 == pytest.approx(work - 1.28, rel=0.06)


def test_mobilenet_v2_has_the_blocks_of_the_paper() -> None:
    graph = Graph("v2", input_spec(224, 224), MobileNetV2(1.0).eval().graph_layers())
    assert sum(isinstance(layer, Add) for layer in graph.layers) == 10
    assert all(layer.activation.kind == "none" for layer in graph.layers if layer.name.endswith("_project"))
    # Sandler et al., table 4: 300 million; less the classifier and 256 of the 1280 last channels
    assert graph.multiply_adds() / 1e6 == pytest.approx(300.8 - 1.28 - 256 * 320 * 49 / 1e6, abs=0.1)


def test_resnet18_has_the_weights_of_the_paper_but_for_its_stem() -> None:
    graph = Graph("r", input_spec(224, 224), ResNet18().eval().graph_layers())
    biases = sum(len(layer.bias) for layer in graph.layers if isinstance(layer, Conv))
    assert sum(isinstance(layer, Add) for layer in graph.layers) == 8
    assert graph.parameters() - biases == 11_166_912 - 3 * 64 * (7 * 7 - 3 * 3)  # 11.17 million without the classifier


@pytest.mark.parametrize("name", DENSE)
def test_networks_for_v831_have_only_what_its_npu_runs(name: str) -> None:
    layers = [layer for layer in graph_of(name).layers if isinstance(layer, Conv | Add)]
    assert not any(isinstance(layer, Conv) and layer.depthwise for layer in layers)
    assert {layer.activation.kind for layer in layers} <= {"relu", "none"}


def test_the_tiny_cnn_stays_under_100_kb_and_has_nothing_that_tinymaix_lacks() -> None:
    layers = TinyCnn().eval().graph_layers()
    assert all(isinstance(layer, Conv) for layer in layers)
    convolutions = [layer for layer in layers if isinstance(layer, Conv)]
    channels = sum(len(layer.bias) for layer in convolutions)
    file = (
        sum(layer.weight.size for layer in convolutions) + 8 * channels + 64 * len(convolutions)
    )  # scales, biases, heads
    assert file + 10 * TinyCnn().channels < 100_000
    assert max(len(layer.bias) for layer in convolutions if layer.depthwise) <= 256


@pytest.mark.parametrize(("wanted", "channels"), [(3, 8), (11.2, 16), (16.1, 16), (33.6, 32), (112, 112), (358.4, 360)])
def test_channels_are_multiples_of_eight_and_never_much_fewer(wanted: float, channels: int) -> None:
    assert divisible(wanted) == channels
