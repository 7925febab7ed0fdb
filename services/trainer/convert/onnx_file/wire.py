"""Walks the protobuf frames of an ONNX file before anything parses it.

    field = varint (number << 3 | wire type), then   0: varint   1: 8 bytes   2: varint length, bytes   5: 4 bytes

A parser makes an object of every submessage, so that two bytes can cost a hundred: here their number is bounded first,
and a cut-off file is told from a wrong one, with the byte. Numbers as in github.com/onnx/onnx, onnx/onnx.proto.
"""

from __future__ import annotations

from typing import Literal

from services.trainer.convert.onnx_file.errors import not_a_model, refused

__all__ = ["MAX_BYTES", "MAX_FIELDS", "check_frames"]

MAX_BYTES = 256 << 20
MAX_FIELDS = 400_000  # exports of today's networks have some 10,000
MAX_OTHER_BYTES = 16 << 20  # names, doc strings, value infos: what is neither walked here nor weights

Kind = Literal["model", "graph", "node", "attribute", "tensor"]
_INSIDE: dict[Kind, dict[int, Kind]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph"},
    "tensor": {},
}
_WEIGHTS = {4, 5, 9, 10}  # of a tensor: float_data, int32_data, raw_data, double_data
_MAX_DEPTH = 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def check_frames(data: bytes) -> None:
    """Raises UnsupportedModel when `data` is too large, cut off, no protobuf, or full of tiny submessages."""
    if len(data) > MAX_BYTES:
        raise refused(
            "ONNX_TOO_LARGE", f"the file has {len(data)} bytes, more than {MAX_BYTES}", "Use a smaller network."
        )
    if not data:
        raise not_a_model("the file is empty", 0)
    _Walk(data).message("model", 0, len(data), 0)


class _Walk:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fields = 0
        self.other = 0

    def message(self, kind: Kind, at: int, end: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise not_a_model("graphs are nested too deep", at)
        inside = _INSIDE[kind]
        while at < end:
            start = at
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise refused("ONNX_TOO_LARGE", f"more than {MAX_FIELDS} fields", "Simplify the network (onnxsim).")
            if wire == _LENGTH:
                length, at = self._varint(at, end)
                if length > end - at:
                    raise not_a_model(f"the file ends inside a {kind}: {length} bytes are announced", start)
                if number in inside:
                    self.message(inside[number], at, at + length, depth + 1)
                elif kind != "tensor" or number not in _WEIGHTS:
                    self._count(length)
                at += length
            elif wire == _VARINT:
                _, at = self._varint(at, end)
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise not_a_model(f"wire type {wire} in a {kind}", start)
            if number == 0 or at > end:
                raise not_a_model(f"a field of a {kind} is damaged", start)

    def _count(self, length: int) -> None:
        self.other += length
        if self.other > MAX_OTHER_BYTES:
            raise refused(
                "ONNX_TOO_LARGE",
                f"more than {MAX_OTHER_BYTES} bytes of names, texts and types",
                "Export the file without doc strings.",
            )

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise not_a_model("the file ends inside a number", at)
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise not_a_model("a number of more than ten bytes", at)
