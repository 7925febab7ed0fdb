"""The network half of an ncnn model, the .param text: read without trust, written as ncnn's own tools write it.

    7767517                                          magic number
    3 3                                              number of layers, number of blobs
    Input input0 0 1 input0 0=32 1=32 2=3            type, name, inputs, outputs, their blobs, parameters
    Convolution conv0 1 1 input0 b0 0=8 1=3 5=1 6=216 -23329=1,47.505001

A parameter is `id=value`; an array has the key -23300-id and its length first (ncnn, src/paramdict.cpp).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.common.errors import UnsupportedModel

__all__ = ["MAGIC", "ParamLayer", "Value", "read_param", "write_param"]

MAGIC = "7767517"
ARRAY = -23300  # key of the array with id 0
IDS = 32  # NCNN_MAX_PARAM_COUNT
MAX_TEXT = 4 << 20  # bytes; the bounds are far above real networks and keep a hostile text from filling the memory
MAX_LAYERS = 8192
MAX_BLOBS = 32768
MAX_ENDS = 256  # inputs or outputs of one layer
MAX_NAME = 255  # ncnn's readers scan names into 256 bytes
INT = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)

Number = int | float
Value = Number | tuple[Number, ...]


@dataclass(frozen=True)
class ParamLayer:
    """One layer. `params` holds its parameters in the text's order under the text's keys (an array under -23300-id)."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[int, Value] = field(default_factory=dict)

    def integer(self, key: int, default: int = 0) -> int:
        """The whole number under `key`. Raises UnsupportedModel, naming the layer, when it is none."""
        value = self.params.get(key, default)
        if not isinstance(value, int):
            raise self.wrong(f"parameter {key} is {value}, not a whole number")
        return value

    def number(self, key: int, default: float = 0.0) -> float:
        """The number under `key`; a whole one is taken as float."""
        value = self.params.get(key, default)
        if isinstance(value, tuple):
            raise self.wrong(f"parameter {key} is an array, not a number")
        return float(value)

    def numbers(self, ident: int) -> tuple[float, ...]:
        """The array with id `ident` (0 to 31), whichever way it was written; () when there is none."""
        value = self.params.get(ARRAY - ident, self.params.get(ident, ()))
        return tuple(float(v) for v in value) if isinstance(value, tuple) else (float(value),)

    def wrong(self, what: str, fix: str = "Export the network again.") -> UnsupportedModel:
        """The error that names this layer."""
        return UnsupportedModel("NCNN_PARAM", f"layer {self.name} ({self.type}): {what}.", fix=fix, layer=self.name)


def read_param(text: str | bytes) -> tuple[ParamLayer, ...]:
    """The layers of a .param text, spaced in any way.

    Raises UnsupportedModel with the line for anything that ncnn could not load: a wrong count, a blob that no earlier
    layer makes or that two make, a parameter that is no number.
    """
    lines = _lines(text)
    if not lines or lines[0][1] != [MAGIC]:
        raise _malformed(
            1, f"the text does not begin with {MAGIC}", "Give the .param file, the text half of the model."
        )
    if len(lines) < 2:
        raise _malformed(2, "the counts of layers and blobs are missing")
    layer_count, blob_count = _counts(*lines[1])
    if len(lines) - 2 != layer_count:
        line = lines[-1][0]
        raise _malformed(line, f"{len(lines) - 2} layers stand here, line {lines[1][0]} says {layer_count}")
    known: set[str] = set()
    layers = []
    for line, words in lines[2:]:
        layers.append(layer := _layer(line, words))
        for blob in layer.inputs:
            if blob not in known:
                raise _malformed(line, f"layer {layer.name} reads the blob {blob!r}, which no earlier layer makes")
        for blob in layer.outputs:
            if blob in known:
                raise _malformed(line, f"layer {layer.name} makes the blob {blob!r} a second time")
            known.add(blob)
    if len(known) != blob_count:
        raise _malformed(lines[1][0], f"{blob_count} blobs are announced, the layers make {len(known)}")
    return tuple(layers)


def write_param(layers: Sequence[ParamLayer], aligned: bool = False) -> str:
    """The .param text. `aligned`: type and name in columns of 24, as ncnn's later tools write; else single spaces."""
    blobs = sum(len(layer.outputs) for layer in layers)
    rows = [MAGIC, f"{len(layers)} {blobs}"]
    for layer in layers:
        head = f"{layer.type:<24} {layer.name:<24}" if aligned else f"{layer.type} {layer.name}"
        ends = f"{len(layer.inputs)} {len(layer.outputs)}"
        params = " ".join(_parameter(key, value) for key, value in layer.params.items())
        rows.append(" ".join([head, ends, *layer.inputs, *layer.outputs, params]))
    return "\n".join(rows) + "\n"


def _lines(text: str | bytes) -> list[tuple[int, list[str]]]:
    """(line number from 1, words) of every line that is not blank."""
    if len(text) > MAX_TEXT:
        raise _malformed(1, f"{len(text)} bytes of text; a network has at most {MAX_TEXT}")
    whole = _decoded(text) if isinstance(text, bytes) else text
    return [(i, words) for i, line in enumerate(whole.split("\n"), 1) if (words := line.split())]


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        line = 1 + data[: problem.start].count(b"\n")
        raise _malformed(line, f"byte {problem.start} is not text", "Give the .param file, not the .bin.") from problem


def _counts(line: int, words: list[str]) -> tuple[int, int]:
    if len(words) != 2 or not all(INT.fullmatch(word) for word in words):
        raise _malformed(line, "the counts of layers and blobs are two whole numbers")
    layers, blobs = (int(word) for word in words)
    if not 1 <= layers <= MAX_LAYERS or not 1 <= blobs <= MAX_BLOBS:
        raise _malformed(line, f"{layers} layers and {blobs} blobs; at most {MAX_LAYERS} and {MAX_BLOBS} are read")
    return layers, blobs


def _layer(line: int, words: list[str]) -> ParamLayer:
    if len(words) < 4:
        raise _malformed(line, "a layer has a type, a name, the number of its inputs and that of its outputs")
    kind, name = words[:2]
    if not all(INT.fullmatch(word) and 0 <= int(word) <= MAX_ENDS for word in words[2:4]):
        raise _malformed(line, f"layer {name[:40]}: the numbers of inputs and outputs are 0 to {MAX_ENDS}")
    ins, outs = int(words[2]), int(words[3])
    blobs, rest = words[4 : 4 + ins + outs], words[4 + ins + outs :]
    if len(blobs) < ins + outs or any("=" in blob for blob in blobs):
        raise _malformed(line, f"layer {name[:40]}: {ins} inputs and {outs} outputs are announced, fewer are named")
    if any(len(word) > MAX_NAME for word in (kind, name, *blobs)):
        raise _malformed(line, f"a name is longer than {MAX_NAME} characters")
    params: dict[int, Value] = {}
    for word in rest:
        key, value = _read_parameter(line, name, word)
        if key in params:
            raise _malformed(line, f"layer {name}: parameter {key} stands twice")
        params[key] = value
    return ParamLayer(kind, name, tuple(blobs[:ins]), tuple(blobs[ins:]), params)


def _read_parameter(line: int, name: str, word: str) -> tuple[int, Value]:
    text, equals, value = word.partition("=")
    where = f"layer {name}: {word[:40]!r}"
    if not equals or not INT.fullmatch(text):
        raise _malformed(line, f"{where} is not a parameter id=value")
    key = int(text)
    is_array = ARRAY - IDS < key <= ARRAY
    if not is_array and not 0 <= key < IDS:
        raise _malformed(line, f"{where}: ncnn has the parameters 0 to {IDS - 1}")
    parts = value.split(",")
    if not is_array:
        numbers = tuple(_number(line, where, part) for part in parts)
        return key, numbers if len(numbers) > 1 else numbers[0]
    if parts[0] != str(len(parts) - 1):
        raise _malformed(line, f"{where}: an array has its length first; {len(parts) - 1} values follow")
    return key, tuple(_number(line, where, part) for part in parts[1:])


def _number(line: int, where: str, text: str) -> Number:
    """Text with a point or an exponent is a float, as for ncnn."""
    if INT.fullmatch(text) and abs(int(text)) < 1 << 31:
        return int(text)
    if len(text) > 64 or INT.fullmatch(text) or not FLOAT.fullmatch(text) or not math.isfinite(float(text)):
        raise _malformed(line, f"{where} is not a number")
    return float(text)


def _parameter(key: int, value: Value) -> str:
    if isinstance(value, tuple) and key <= ARRAY:
        return f"{key}={len(value)}" + "".join("," + _text(v) for v in value)
    return f"{key}=" + ",".join(_text(v) for v in (value if isinstance(value, tuple) else (value,)))


def _text(value: Number) -> str:
    """A float shows a point or an exponent: ncnn takes `6` for a whole number, and a float parameter then reads 0."""
    if isinstance(value, int):
        return str(value)
    single = np.float32(value)
    plain = f"{single:f}"
    return plain if np.float32(plain) == single else f"{single:.8e}"


def _malformed(line: int, what: str, fix: str = "Export the network again; the text is damaged.") -> UnsupportedModel:
    return UnsupportedModel("NCNN_PARAM", f".param: {what} (line {line}).", fix=fix, line=str(line))
