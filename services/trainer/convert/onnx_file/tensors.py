"""Numbers out of an ONNX file: tensors and attributes, checked before they are believed.

A tensor's memory is bounded by the bytes it brings: dims that promise more are refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, NodeProto, TensorProto

from services.trainer.convert.onnx_file.errors import refused, refused_node

__all__ = ["Attributes", "array"]

Values = npt.NDArray[Any]
_TYPES: dict[int, tuple[str, str]] = {  # data_type: little-endian numpy type, typed field
    TensorProto.FLOAT: ("<f4", "float_data"),
    TensorProto.DOUBLE: ("<f8", "double_data"),
    TensorProto.FLOAT16: ("<f2", "int32_data"),
    TensorProto.INT64: ("<i8", "int64_data"),
    TensorProto.INT32: ("<i4", "int32_data"),
    TensorProto.UINT8: ("u1", "int32_data"),
    TensorProto.BOOL: ("?", "int32_data"),
}


def array(tensor: TensorProto, name: str = "") -> Values:
    """The tensor's values in its own type. Raises UnsupportedModel for other types, external data, wrong sizes."""
    name = (name or tensor.name)[:80]
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise refused(
            "ONNX_EXTERNAL_DATA",
            f"tensor {name}: its values lie in another file",
            "Save everything in one file: onnx.save(model, path, save_as_external_data=False).",
        )
    if tensor.data_type not in _TYPES:
        raise refused(
            "ONNX_TENSOR_TYPE",
            f"tensor {name}: data type {_type_name(tensor.data_type)} is not supported",
            "Export the network in float32.",
        )
    dtype, field = _TYPES[tensor.data_type]
    shape = tuple(tensor.dims)
    if tensor.HasField("raw_data"):
        width = np.dtype(dtype).itemsize
        values = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // width * width], dtype)
        if len(tensor.raw_data) % width:
            raise _wrong_size(name, shape, f"{len(tensor.raw_data)} bytes")
    else:
        values = _typed(getattr(tensor, field), dtype, name)
    if len(shape) > 8 or any(size < 0 for size in shape) or math.prod(shape) != values.size:
        raise _wrong_size(name, shape, f"{values.size} values")
    return values.reshape(shape)


def _typed(values: Collection[Any], dtype: str, name: str) -> Values:
    try:
        if dtype == "<f2":  # the bits, as whole numbers
            return np.fromiter(values, np.uint16, len(values)).view(dtype)
        return np.fromiter(values, dtype, len(values))  # a list of Python numbers would take ten times the memory
    except (OverflowError, ValueError) as problem:
        raise _wrong_size(name, (len(values),), f"values that do not fit {dtype}") from problem


def _wrong_size(name: str, shape: tuple[int, ...], has: str) -> Exception:
    return refused(
        "ONNX_TENSOR_SHAPE",
        f"tensor {name}: shape {list(shape)[:9]} with {has}",
        "Export the file again; it is damaged.",
    )


def _type_name(kind: int) -> str:
    return TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else str(kind)


class Attributes:
    """The attributes of one node by name; each getter refuses another type, naming node and attribute."""

    def __init__(self, node: NodeProto) -> None:
        self._node = node
        self._by_name = {attribute.name: attribute for attribute in node.attribute}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def _get(self, name: str, kind: int) -> AttributeProto | None:
        attribute = self._by_name.get(name)
        if attribute is not None and attribute.type != kind:
            raise refused_node(
                self._node, f"attribute {name} has another type than ONNX gives it", "Export the file again."
            )
        return attribute

    def integer(self, name: str, default: int) -> int:
        attribute = self._get(name, AttributeProto.INT)
        return default if attribute is None else attribute.i

    def integers(self, name: str, default: list[int]) -> list[int]:
        attribute = self._get(name, AttributeProto.INTS)
        return default if attribute is None else list(attribute.ints)

    def number(self, name: str, default: float) -> float:
        attribute = self._get(name, AttributeProto.FLOAT)
        return default if attribute is None else attribute.f

    def text(self, name: str, default: str) -> str:
        attribute = self._get(name, AttributeProto.STRING)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def tensor(self, name: str) -> TensorProto | None:
        attribute = self._get(name, AttributeProto.TENSOR)
        return None if attribute is None else attribute.t
