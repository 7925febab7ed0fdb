"""The calibration table between calibrating and quantising, in the vendor tool's own text form.

input0 127.000000                          scale of a blob: int8 = round(value * scale)
conv0_param_0 336.968262 234.304764 ...    scales of a layer's weights, one per output channel
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.common.errors import UnsupportedModel

__all__ = ["Scales", "read_table", "write_table"]

WEIGHTS = "_param_0"
MAX_TABLE = 16 << 20  # bytes


@dataclass(frozen=True)
class Scales:
    """`blobs`: by blob name. `weights`: by layer name, float32 (oc,). All positive."""

    blobs: dict[str, np.float32] = field(default_factory=dict)
    weights: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def read_table(text: str | bytes) -> Scales:
    """The scales in `text`. Raises UnsupportedModel with the line for a value that is no positive number."""
    if len(text) > MAX_TABLE:
        raise _malformed(1, f"{len(text)} bytes; a table has at most {MAX_TABLE}")
    whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    scales = Scales()
    for number, line in enumerate(whole.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        name, values = words[0], _values(number, words)
        if name.endswith(WEIGHTS):
            scales.weights[name.removesuffix(WEIGHTS)] = values
        elif len(values) == 1:
            scales.blobs[name] = values[0]
        else:
            raise _malformed(number, f"{name[:40]} has {len(values)} scales; a blob has one")
    return scales


def write_table(scales: Scales) -> str:
    """The text, six decimals as the vendor's tool writes: blobs, then weights."""
    rows = [f"{name} {scale:f}" for name, scale in scales.blobs.items()]
    rows += [f"{name}{WEIGHTS} " + " ".join(f"{v:f}" for v in values) for name, values in scales.weights.items()]
    return "\n".join(rows) + "\n"


def _values(line: int, words: list[str]) -> npt.NDArray[np.float32]:
    try:
        values = np.array([float(word) for word in words[1:]], np.float64)
    except ValueError as problem:
        raise _malformed(line, f"{words[0][:40]}: {problem}") from problem
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not len(single) or not all(math.isfinite(v) and v > 0 for v in single):
        raise _malformed(line, f"{words[0][:40]}: scales are positive numbers")
    return single


def _malformed(line: int, what: str) -> UnsupportedModel:
    return UnsupportedModel(
        "AWNN_TABLE", f".table: {what} (line {line}).", fix="Calibrate the network again.", line=str(line)
    )
