from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from services.common.errors import InvalidInput
from services.trainer import weights
from services.trainer.backbones.mobilenet_v1 import MobileNetV1
from services.trainer.slimming import for_input, narrowed
from services.trainer.weights import ConvNorm, PretrainedBackbone


def padded(backbone: PretrainedBackbone, random: np.random.Generator) -> PretrainedBackbone:
    """Twice as wide, with the new channels silent and strewn among the old ones."""
    places = np.arange(3)
    inputs = 3
    layers = []
    for layer in backbone.layers:
        if not layer.depthwise:
            outputs = 2 * len(layer.weight)
            kept = np.sort(random.permutation(outputs)[: len(layer.weight)])
            weight = np.zeros((outputs, inputs, *layer.weight.shape[2:]), np.float32)
            weight[np.ix_(kept, places)] = layer.weight
            places, inputs = kept, outputs
        else:
            weight = np.zeros((inputs, 1, 3, 3), np.float32)
            weight[places] = layer.weight
        norm = []
        for values, neutral in ((layer.gamma, 1), (layer.beta, 0), (layer.mean, 0), (layer.variance, 1)):
            wide = np.full(inputs, neutral, np.float32)
            wide[places] = values
            norm.append(wide)
        layers.append(ConvNorm(layer.name, weight, *norm))
    return PretrainedBackbone(2 * backbone.alpha, tuple(layers))


def test_silent_channels_go_first_and_nothing_else_changes(small_weights: Path) -> None:
    small = weights.load_file(small_weights)
    slim = narrowed(padded(small, np.random.default_rng(1)), 0.25)
    assert slim.alpha == 0.25
    for got, expected in zip(slim.layers, small.layers, strict=True):
        for field in ("weight", "gamma", "beta", "mean", "variance"):
            assert np.array_equal(getattr(got, field), getattr(expected, field)), (got.name, field)


@pytest.mark.parametrize("alpha", [0.75, 0.5, 0.25])
def test_slices_of_the_imagenet_weights_fit_the_backbone(imagenet_weights: Path, alpha: float) -> None:
    MobileNetV1(alpha).load_pretrained(narrowed(weights.load_file(imagenet_weights), alpha))


def test_narrow_weights_cannot_become_wider(small_weights: Path) -> None:
    with pytest.raises(InvalidInput, match=r"alpha 0\.25"):
        narrowed(weights.load_file(small_weights), 0.5)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.5), (0.45, 0.22)])
def test_the_first_layer_takes_in_another_normalisation(small_weights: Path, mean: float, std: float) -> None:
    native = weights.load_file(small_weights)
    moved = for_input(native, mean, std)
    pixels = torch.randint(0, 256, (1, 3, 9, 9), generator=torch.Generator().manual_seed(0)).float()

    def first(backbone: PretrainedBackbone, x: torch.Tensor) -> torch.Tensor:
        layer = backbone.layers[0]
        norm = [torch.from_numpy(values) for values in (layer.mean, layer.variance, layer.gamma, layer.beta)]
        return F.batch_norm(F.conv2d(x, torch.from_numpy(layer.weight)), *norm, eps=1e-3)

    expected = first(native, pixels / 127.5 - 1)
    assert torch.allclose(first(moved, (pixels / 255 - mean) / std), expected, atol=1e-4)
