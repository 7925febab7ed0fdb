"""The one file of a V831 model that a release carries: device/ports/v831.py takes it apart on the board.

    +-------------+------ - - ------+------ - - ------+------ - - ------+
    | JSON length | JSON            | .param          | .bin            |
    | u32 BE      |                 | ncnn text       | int8 weights    |
    +-------------+------ - - ------+------ - - ------+------ - - ------+

JSON: param (bytes of .param), input and output ([h, w, c] of the blobs input0 and output0), mean and norm by channel,
(x - mean)*norm; and, for whoever unpacks it, name, labels and anchors, which the board passes over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from services.trainer.convert.awnn.errors import malformed

__all__ = ["Container", "pack", "parse"]

PART = ".awnn"
LENGTH = 4
MAX_JSON = 1 << 20
MAX_FILE = 64 << 20  # the board has 64 MiB of memory
MAX_LABELS = 10_000
MAX_SIDE = 1 << 24

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Container:
    """`input`, `output`: (h, w, c). `mean`, `norm`: one per channel of the input, in units of a pixel's byte."""

    param: bytes = field(repr=False)
    bin: bytes = field(repr=False)
    input: Shape
    output: Shape
    mean: tuple[float, ...]
    norm: tuple[float, ...]
    name: str = "model"
    labels: tuple[str, ...] = ()
    anchors: tuple[tuple[float, float], ...] = ()

    def check_shapes(self, input_chw: Shape, output_chw: Shape) -> None:
        """Raises UnsupportedModel when the JSON's shapes are not those of the network behind it."""
        for what, told, found in (("input", self.input, input_chw), ("output", self.output, output_chw)):
            if told != (*found[1:], found[0]):
                raise malformed(PART, LENGTH, f"{what} (h, w, c) is {told} in the JSON, {found} (c, h, w) in .param")

    def nn_load(self, param: str, weights: str) -> tuple[dict[str, str], dict[str, Any]]:
        """The two arguments of MaixPy3's `nn.load`, for the paths of .param and .bin on the board."""
        options = {
            "model_type": "awnn",
            "inputs": {"input0": self.input},
            "outputs": {"output0": self.output},
            "mean": list(self.mean),
            "norm": list(self.norm),
        }
        return {"param": param, "bin": weights}, options


def pack(model: Container) -> bytes:
    about = {k: v for k, v in asdict(model).items() if k != "bin"} | {"param": len(model.param)}
    head = json.dumps(about).encode()
    return len(head).to_bytes(LENGTH, "big") + head + model.param + model.bin


def parse(data: bytes) -> Container:
    """Raises UnsupportedModel with the byte offset of what is wrong."""
    if len(data) > MAX_FILE:
        raise malformed(
            PART, 0, f"{len(data)} bytes; the board has {MAX_FILE} bytes of memory", "Use a smaller network."
        )
    if len(data) < LENGTH:
        raise malformed(PART, 0, f"the file ends inside the JSON's length, {LENGTH} bytes")
    size = int.from_bytes(data[:LENGTH], "big")
    start = LENGTH + size
    if size > MAX_JSON or start > len(data):
        raise malformed(PART, 0, f"{size} bytes of JSON are announced, {len(data) - LENGTH} follow")
    about = _json(data[LENGTH:start])
    count: Any = about.get("param")
    if not _is_whole(count, 1, len(data) - start):
        raise malformed(PART, LENGTH, f"param, the size of .param, is {count!r}; {len(data) - start} bytes follow")
    shapes = [_shape(about, key) for key in ("input", "output")]
    channels = shapes[0][2]
    if channels not in (1, 3):
        raise malformed(PART, LENGTH, f"an input of {channels} channels")
    return Container(
        param=data[start : start + count],
        bin=data[start + count :],
        input=shapes[0],
        output=shapes[1],
        mean=_floats(about, "mean", channels),
        norm=_floats(about, "norm", channels),
        name=_text(about),
        labels=_labels(about),
        anchors=_anchors(about),
    )


def _json(head: bytes) -> dict[str, Any]:
    try:
        about = json.loads(head.decode())
    except (ValueError, RecursionError) as problem:
        raise malformed(PART, LENGTH, f"no JSON: {str(problem)[:80]}") from problem
    if not isinstance(about, dict):
        raise malformed(PART, LENGTH, "the JSON is no object")
    return about


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _shape(about: dict[str, Any], key: str) -> Shape:
    value = about.get(key)
    if not isinstance(value, list) or len(value) != 3 or not all(_is_whole(side, 1, MAX_SIDE) for side in value):
        raise malformed(PART, LENGTH, f"{key} is {_short(value)}, not [h, w, c]")
    return value[0], value[1], value[2]


def _floats(about: dict[str, Any], key: str, count: int) -> tuple[float, ...]:
    value = about.get(key)
    if not isinstance(value, list) or len(value) != count or not all(_is_number(v) for v in value):
        raise malformed(PART, LENGTH, f"{key} is {_short(value)}, not {count} numbers")
    return tuple(float(v) for v in value)


def _is_number(value: object) -> bool:
    """A finite one of ordinary size: 1e9 is far above any mean."""
    return isinstance(value, int | float) and abs(value) < 1e9


def _text(about: dict[str, Any]) -> str:
    value = about.get("name", "model")
    if not isinstance(value, str) or len(value) > 1000:
        raise malformed(PART, LENGTH, f"name is {_short(value)}, not a short text")
    return value


def _labels(about: dict[str, Any]) -> tuple[str, ...]:
    value = about.get("labels", [])
    if not isinstance(value, list) or len(value) > MAX_LABELS or not all(isinstance(v, str) for v in value):
        raise malformed(PART, LENGTH, f"labels is {_short(value)}, not a list of texts")
    return tuple(value)


def _anchors(about: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    value = about.get("anchors", [])
    fits = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(_is_number(v) for v in pair) for pair in value
    )
    if not fits or len(value) > MAX_LABELS:
        raise malformed(PART, LENGTH, f"anchors is {_short(value)}, not a list of [width, height]")
    return tuple((float(w), float(h)) for w, h in value)


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, list | str | dict) or len(value) <= 8 else f"{type(value).__name__}"
    return text[:60]
