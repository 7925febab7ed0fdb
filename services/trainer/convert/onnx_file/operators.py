"""ONNX operators on features: what each becomes in the graph, or why it cannot.

Meaning of every operator: github.com/onnx/onnx, docs/Operators.md and, for older opsets, docs/Changelog.md.
"""

from __future__ import annotations

from collections.abc import Callable

from services.trainer.convert.onnx_file.builder import Feature
from services.trainer.convert.onnx_file.dense import gemm, global_average, matmul, reduce_mean, softmax
from services.trainer.convert.onnx_file.elementwise import activation, add, affine, batch_normalisation, minimum
from services.trainer.convert.onnx_file.scope import Call
from services.trainer.convert.onnx_file.windows import average_pool, convolution, max_pool, pad

__all__ = ["FEATURE_OPERATORS"]

FEATURE_OPERATORS: dict[str, Callable[[Call], Feature]] = {
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalisation,
    "Clip": activation,
    "Conv": convolution,
    "Div": affine,
    "Gemm": gemm,
    "GlobalAveragePool": lambda call: global_average(call, call.map(), keep=True),
    "LeakyRelu": activation,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Min": minimum,
    "Mul": affine,
    "PRelu": activation,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": activation,
    "Softmax": softmax,
    "Sub": affine,
    "Sum": add,
}
