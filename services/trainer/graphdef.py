"""Constants of a frozen TensorFlow graph, read with protobuf alone.

    GraphDef      1 node*
    NodeDef       1 name   2 op   5 attr* {1 key, 2 value}
    AttrValue     8 tensor
    TensorProto   1 dtype  2 tensor_shape {2 dim* {1 size}}  4 tensor_content  5 float_val*  (7 int_val* is not needed)

Only the fields above are declared, as in tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto; protobuf
skips all others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from services.common.errors import InvalidInput

__all__ = ["float_constants", "graph_class"]

Array = npt.NDArray[np.float32]

_DT_FLOAT = 1
_NODE_TAG = 0x0A  # field 1, length-delimited
_STRING, _INT64, _INT32, _BYTES, _FLOAT, _MESSAGE = 9, 3, 5, 12, 2, 11  # descriptor.proto, FieldDescriptorProto.Type
_FIELDS: dict[str, list[tuple[int, str, int, bool, str]]] = {
    "Dim": [(1, "size", _INT64, False, "")],
    "Shape": [(2, "dim", _MESSAGE, True, "Dim")],
    "Tensor": [
        (1, "dtype", _INT32, False, ""),
        (2, "shape", _MESSAGE, False, "Shape"),
        (4, "content", _BYTES, False, ""),
        (5, "floats", _FLOAT, True, ""),
    ],
    "Value": [(8, "tensor", _MESSAGE, False, "Tensor")],
    "Attr": [(1, "key", _STRING, False, ""), (2, "value", _MESSAGE, False, "Value")],
    "Node": [(1, "name", _STRING, False, ""), (2, "op", _STRING, False, ""), (5, "attr", _MESSAGE, True, "Attr")],
    "Graph": [(1, "node", _MESSAGE, True, "Node")],
}


def graph_class() -> Any:
    """The message class of GraphDef, cut down to the fields above."""
    file = descriptor_pb2.FileDescriptorProto(name="boardloop_frozen_graph.proto", package="frozen", syntax="proto3")
    for message_name, fields in _FIELDS.items():
        declared = file.message_type.add(name=message_name)
        for number, name, kind, repeated, of in fields:
            field = declared.field.add(name=name, number=number)
            field.type = kind  # type: ignore[assignment]
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if of:
                field.type_name = f".frozen.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("frozen.Graph"))


def float_constants(data: bytes, name: str) -> dict[str, Array]:
    """Every float32 Const node of the frozen graph `data`, by node name, in TensorFlow's layout (convolutions HWIO).

    `name` is the file, for the messages. InvalidInput: not a GraphDef, truncated (with the byte), a constant whose
    bytes do not fit its shape.
    """
    _check_framing(data, name)
    graph = graph_class()()
    try:
        graph.ParseFromString(data)
    except message.DecodeError as error:
        raise _not_a_graph(name, str(error)) from error
    constants = {}
    for node in graph.node:
        if node.op == "Const":
            tensor = next((attr.value.tensor for attr in node.attr if attr.key == "value"), None)
            if tensor is not None and tensor.dtype == _DT_FLOAT:
                constants[node.name] = _array(tensor, node.name, name)
    if not constants:
        raise _not_a_graph(name, "it holds no float constants; was the graph frozen?")
    return constants


def _array(tensor: Any, node: str, file: str) -> Array:
    shape = tuple(dim.size for dim in tensor.shape.dim)
    values = np.frombuffer(tensor.content, "<f4") if tensor.content else np.array(tensor.floats, np.float32)
    count = int(np.prod(shape, dtype=np.int64))
    if values.size == 1 and count != 1:
        values = np.full(count, values[0], np.float32)  # TensorProto: one value stands for all of them
    if values.size != count:
        raise InvalidInput(
            "WEIGHTS_SHAPE",
            f"{file}: tensor {node} has the shape {list(shape)} and {values.size} values.",
            fix="The file is damaged: download it again.",
            file=file,
            tensor=node,
        )
    return values.reshape(shape).astype(np.float32)


def _check_framing(data: bytes, name: str) -> None:
    """Walk the top level (node, then versions and library) to tell a cut-off file from one that is something else."""
    position = 0
    while position < len(data):
        tag = data[position]
        start, length = position, 0
        if tag & 7 != 2 or not 1 <= tag >> 3 <= 15 or (start == 0 and tag != _NODE_TAG):
            raise _not_a_graph(name, f"unexpected byte 0x{tag:02x} at {position}")
        position += 1
        for shift in range(0, 35, 7):
            if position >= len(data):
                raise _truncated(name, start, len(data))
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        position += length
        if position > len(data):
            if start == 0:
                raise _not_a_graph(name, "its first node would be longer than the file")
            raise _truncated(name, start, len(data))
    if not data:
        raise _not_a_graph(name, "it is empty")


def _not_a_graph(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        "WEIGHTS_NOT_A_GRAPH",
        f"{name} is not a frozen TensorFlow graph (GraphDef): {why}.",
        fix="Give the .pb file of a frozen TF-slim MobileNetV1.",
        file=name,
    )


def _truncated(name: str, start: int, size: int) -> InvalidInput:
    return InvalidInput(
        "WEIGHTS_TRUNCATED",
        f"{name} ends after {size} bytes, in the middle of the node that starts at byte {start}.",
        fix="The download was cut off: remove the file and fetch it again.",
        file=name,
    )
