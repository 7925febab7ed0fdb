from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from services.common.errors import InvalidInput
from services.trainer.backbones import BACKBONES
from services.trainer.config import Backbone, Pooling
from services.trainer.model import Classifier, load_imagenet, normalised, to_graph


def lively(backbone: Backbone, pooling: Pooling = "average") -> Classifier:
    """With batch normalisation far from its neutral start."""
    torch.manual_seed(3)
    model = Classifier(backbone, 3, pooling=pooling)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.6)
        torch.nn.init.normal_(model.head.linear.weight)
    return model.eval()


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_the_graph_computes_what_the_network_computes(backbone: Backbone) -> None:
    model = lively(backbone)
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        expected = model(normalised(pixels)).numpy()
    graph = to_graph(model, ("a", "b", "c"), 96)
    got = graph.run_float(pixels.numpy())
    assert graph.labels == ("a", "b", "c") and got.shape == (2, 3)
    assert np.abs(expected).max() > 0.1
    assert np.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("width", "height", "last"), [(256, 256, (512, 4, 4)), (192, 192, (512, 6, 6)), (320, 224, (512, 7, 10))]
)
def test_the_graph_pools_by_peaks_as_the_network_does(width: int, height: int, last: tuple[int, ...]) -> None:
    model = lively("mobilenet_v1_1.0_cut8", "peaks")
    pixels = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    with torch.no_grad():
        expected = model(normalised(pixels)).numpy()
    graph = to_graph(model, ("a", "b", "c"), width, height)
    assert graph.shapes()[-3] == last
    assert np.abs(expected).max() > 0.1
    assert np.allclose(graph.run_float(pixels.numpy()), expected, atol=1e-4)


def test_every_name_of_the_configuration_has_its_network() -> None:
    assert set(get_args(Backbone)) == set(BACKBONES)


def test_mobilenet_v1_has_27_convolutions_and_the_known_size() -> None:
    graph = to_graph(Classifier("mobilenet_v1_1.0", 1000), (), 224)
    # Howard et al., table 8: 4.2 million parameters, 569 million multiply-adds (1000 classes at 224x224)
    assert round(graph.parameters() / 1e6, 1) == 4.2
    assert round(graph.multiply_adds() / 1e6) in (568, 569)
    assert graph.shapes()[26] == (1024, 7, 7)


@pytest.mark.parametrize("backbone", ["mobilenet_v2_0.5", "resnet18_0.25", "darknet_slim_0.5", "tiny_cnn"])
def test_weights_of_a_mobilenet_v1_do_not_start_another_network(backbone: Backbone, small_weights: Path) -> None:
    with pytest.raises(InvalidInput, match="would be of a MobileNetV1 or an EfficientNet-Lite, the network is a"):
        load_imagenet(BACKBONES[backbone](), small_weights)
