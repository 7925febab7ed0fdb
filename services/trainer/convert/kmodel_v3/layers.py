"""The parts of a kmodel V3 file: the whole model and the KPU convolution. CPU layers are in `cpu_layers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.activation import ActivationTable
from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer
from services.trainer.convert.kmodel_v3.registers import ConvShape, Quantisation, conv_registers

__all__ = ["K210_CONV", "MAIN_MEM_OUT", "KModel", "KpuConv", "Layer", "Output"]

K210_CONV = 10240
MAIN_MEM_OUT = 1  # the only flag: the result goes to main memory


@dataclass(frozen=True, eq=False)
class KpuConv:
    """A convolution on the KPU with batch normalisation, activation and pooling, all in integers.

    `weights` u8 (oc, ic, k, k), depthwise (c, k, k). `norm_mul`, `norm_add`, `norm_shift` are int64 (oc,).
    """

    shape: ConvShape
    source_row: int
    target_row: int
    quant: Quantisation
    weights: npt.NDArray[np.uint8]
    norm_mul: npt.NDArray[np.int64]
    norm_add: npt.NDArray[np.int64]
    norm_shift: npt.NDArray[np.int64]
    activation: ActivationTable
    flags: int = 0
    output: int = 0  # main memory address, used with MAIN_MEM_OUT

    TYPE: ClassVar[int] = K210_CONV
    NAME: ClassVar[str] = "K210_CONV"

    @property
    def to_main_memory(self) -> bool:
        return bool(self.flags & MAIN_MEM_OUT)

    @property
    def output_bytes(self) -> int:
        return self.shape.out_channels * self.shape.out_height * self.shape.out_width

    def registers(self) -> tuple[int, ...]:
        return conv_registers(self.shape, self.source_row, self.target_row, self.quant)


Layer = KpuConv | CpuLayer


@dataclass(frozen=True)
class Output:
    """`size` bytes of float32 at `address` of main memory."""

    address: int
    size: int


@dataclass(frozen=True, eq=False)
class KModel:
    """A whole file. `trailing`: bytes behind the last body (some tools write eight zeros there)."""

    layers: tuple[Layer, ...]
    outputs: tuple[Output, ...]
    main_memory: int
    lowest_row: int = 0  # informational: the runtime does not read it
    trailing: bytes = b""
    offsets: tuple[int, ...] = field(default=())  # byte offset of every body, when read from a file
