"""All layer types the board's CPU runs, by their number in the file."""

from __future__ import annotations

from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer
from services.trainer.convert.kmodel_v3.cpu_bytes import (
    AddPadding,
    ChannelwiseDequantize,
    Concat,
    Dequantize,
    MaxPool2d,
    Quantize,
    QuantizedAdd,
    QuantizedConcat,
    QuantizedResizeNearest,
    RemovePadding,
    Requantize,
    Upload,
)
from services.trainer.convert.kmodel_v3.cpu_float import (
    Add,
    AveragePool,
    FullyConnectedLayer,
    GlobalAveragePool2d,
    L2Norm,
    Logistic,
    ResizeNearest,
    SoftmaxLayer,
    TfFlatten,
)

__all__ = ["CPU_LAYERS"]

CPU_LAYERS: dict[int, type[CpuLayer]] = {
    cls.TYPE: cls
    for cls in (
        Add, QuantizedAdd, GlobalAveragePool2d, MaxPool2d, AveragePool, Quantize, Dequantize, Requantize, L2Norm,
        SoftmaxLayer, Concat, QuantizedConcat, FullyConnectedLayer, TfFlatten, ResizeNearest, QuantizedResizeNearest,
        ChannelwiseDequantize, Logistic, AddPadding, RemovePadding, Upload,
    )
}  # fmt: skip
