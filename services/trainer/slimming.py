"""A narrower MobileNetV1 cut from a wider one, so that one weights file serves alpha 1.0, 0.75, 0.5 and 0.25.

Channels are chosen where they are made (the first convolution and every pointwise one) by the L1 norm of their filter
(Li et al., Pruning Filters for Efficient ConvNets, arXiv:1608.08710); the depthwise convolution and the inputs of the
next pointwise one follow the choice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.weights import ConvNorm, PretrainedBackbone

__all__ = ["channels_at", "for_input", "narrowed"]

_MIN_CHANNELS = 8  # min_depth of TF-slim's mobilenet_v1_base


def channels_at(alpha: float, channels: int) -> int:
    """Channels of a layer that has `channels` at alpha 1.0 (TF-slim's rule)."""
    return max(int(channels * alpha), _MIN_CHANNELS)


def narrowed(backbone: PretrainedBackbone, alpha: float) -> PretrainedBackbone:
    """Cut to the width `alpha`. InvalidInput when the weights are narrower than that."""
    if alpha > backbone.alpha:
        raise InvalidInput(
            "WEIGHTS_TOO_NARROW",
            f"The weights are MobileNetV1 at alpha {backbone.alpha:g}; alpha {alpha:g} cannot be cut from them.",
            fix=f"Train at alpha {backbone.alpha:g} or less, or give wider weights.",
        )
    if alpha == backbone.alpha:
        return backbone
    kept = np.arange(3)
    layers = []
    for layer in backbone.layers:
        if layer.depthwise:
            layers.append(_take(layer, layer.weight[kept], kept))
        else:
            count = channels_at(alpha, round(len(layer.weight) / backbone.alpha))
            outputs = _strongest(layer, count)
            layers.append(_take(layer, layer.weight[np.ix_(outputs, kept)], outputs))
            kept = outputs
    return PretrainedBackbone(alpha, tuple(layers))


def _strongest(layer: ConvNorm, count: int) -> npt.NDArray[np.intp]:
    """The `count` output channels with the largest L1 norm, in their original order."""
    norms = np.abs(layer.weight).sum(axis=(1, 2, 3))
    return np.sort(np.argsort(-norms, kind="stable")[:count])


def _take(layer: ConvNorm, weight: npt.NDArray[np.float32], kept: npt.NDArray[np.intp]) -> ConvNorm:
    return ConvNorm(
        layer.name,
        np.ascontiguousarray(weight),
        layer.gamma[kept],
        layer.beta[kept],
        layer.mean[kept],
        layer.variance[kept],
    )


def for_input(backbone: PretrainedBackbone, mean: float, std: float) -> PretrainedBackbone:
    """The same network for inputs n = (u8/255 - mean) / std instead of x = u8/127.5 - 1.

    x = 2*std*n + (2*mean - 1), so the first convolution takes 2*std into its weights and the constant into its running
    mean. This is exact except in the outermost row and column of the image, where zero padding now stands for the
    grey 255*mean instead of 127.5.
    """
    first = backbone.layers[0]
    shift = (2 * mean - 1) * first.weight.sum(axis=(1, 2, 3))
    moved = ConvNorm(
        first.name,
        (first.weight * np.float32(2 * std)).astype(np.float32),
        first.gamma,
        first.beta,
        (first.mean - shift).astype(np.float32),
        first.variance,
    )
    return PretrainedBackbone(backbone.alpha, (moved, *backbone.layers[1:]))
