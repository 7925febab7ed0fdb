"""What the K210 runs, still in real numbers: KPU convolutions that read maps, and the float layers behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.registers import ConvShape
from services.trainer.graph import Activation, FullyConnected, GlobalAveragePool

__all__ = [
    "IMAGE_MAP", "POOL_LEFT_TOP", "POOL_MAX", "POOL_MAX_4", "POOL_NONE", "Lowered", "Stage", "identity", "readers",
]  # fmt: skip

POOL_NONE, POOL_MAX, POOL_MAX_4, POOL_LEFT_TOP = 0, 1, 3, 5  # pool_type register
IMAGE_MAP = -1  # the image among the maps; map i is what stage i writes
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stage:
    """One KPU convolution: stride 1, padding kernel // 2, then activation, then pooling.

    weight (oc, ic, k, k), depthwise (c, 1, k, k); bias (oc,). `sources` are the maps it reads. Two maps lie side by
    side in KPU RAM, the second behind the whole of the first, and are read as one; of a single or the second map only
    the first channels may be read. `copies`: the output channels are that many times the same (see copies.py).
    """

    name: str
    weight: Array
    bias: Array
    depthwise: bool
    activation: Activation
    pool: int = POOL_NONE
    sources: tuple[int, ...] = (IMAGE_MAP,)
    copies: int = 1

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[0 if self.depthwise else 1])

    @property
    def kernel(self) -> int:
        return int(self.weight.shape[2])

    @property
    def joins(self) -> bool:
        """Whether it adds two maps."""
        return len(self.sources) == 2

    def shape(self, height: int, width: int) -> ConvShape:
        return ConvShape(
            self.in_channels, self.weight.shape[0], height, width, self.kernel, self.depthwise, self.pool
        )  # fmt: skip


@dataclass(frozen=True)
class Lowered:
    """KPU stages, then the float layers of the CPU, in order.

    `places`: first row of KPU RAM of every map, the image under IMAGE_MAP. `moved`: (layer, why) for what left the KPU.
    """

    stages: tuple[Stage, ...]
    shapes: tuple[ConvShape, ...]
    places: dict[int, int]
    tail: tuple[GlobalAveragePool | FullyConnected, ...]
    moved: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def identity(name: str, channels: int, source: int, pool: int = POOL_NONE, padded: int = 0) -> Stage:
    """A 1x1 convolution that copies a map; channels beyond its own, up to `padded`, are zeros."""
    weight = np.eye(max(channels, padded), channels, dtype=np.float32)[:, :, None, None]
    return Stage(name, weight, np.zeros(len(weight), np.float32), False, Activation.none(), pool, (source,))


def readers(stages: tuple[Stage, ...]) -> dict[int, list[int]]:
    """For every map the stages that read it, in order."""
    found: dict[int, list[int]] = {i: [] for i in range(-1, len(stages))}
    for i, stage in enumerate(stages):
        for source in stage.sources:
            found[source].append(i)
    return found
