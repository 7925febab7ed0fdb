"""The ways in which an ONNX file is refused, each naming the node or the byte."""

from __future__ import annotations

from onnx import NodeProto

from services.common.errors import UnsupportedModel

__all__ = ["not_a_model", "refused", "refused_node", "title"]

MAX_NAME = 80  # a hostile name must not fill the log


def title(node: NodeProto) -> str:
    """How a message names a node: by its name, or by what it gives."""
    name = node.name or (node.output[0] if node.output else "") or "without a name"
    return f"node {name[:MAX_NAME]} ({node.op_type[:MAX_NAME]})"


def refused(reason: str, what: str, fix: str, **metadata: str) -> UnsupportedModel:
    return UnsupportedModel(reason, f"ONNX: {what}.", fix=fix, **metadata)


def refused_node(node: NodeProto, what: str, fix: str, reason: str = "ONNX_OPERATOR") -> UnsupportedModel:
    return refused(reason, f"{title(node)}: {what}", fix, node=node.name[:MAX_NAME], operator=node.op_type[:MAX_NAME])


def not_a_model(what: str, offset: int | None = None) -> UnsupportedModel:
    """The bytes are not a whole ONNX file; `offset` where that shows."""
    where, metadata = ("", {}) if offset is None else (f" (byte {offset})", {"offset": str(offset)})
    return refused(
        "ONNX_MALFORMED", f"{what}{where}", "Export or download the file again; it is damaged or no ONNX.", **metadata
    )
