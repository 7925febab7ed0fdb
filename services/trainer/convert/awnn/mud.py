"""The files that the V831's own programs read: .param, .bin, the .mud that describes them, and MaixHub's report.json.

libmaix parses a .mud into narrow buffers (components/libmaix/src/mud/mud.c): a number has at most 9 characters, a key
31, sections end with an empty line, the last line with a newline, and [extra] may hold no text.
"""

from __future__ import annotations

import json

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.container import Container, parse

__all__ = ["mud", "report_json", "unpack"]

NUMBER_WIDTH = 9


def unpack(data: bytes, stem: str, suffix: str) -> dict[str, bytes]:
    """Files by name: `stem`.param, .bin and .mud, and report.json. `suffix`, of the one file, is not used."""
    model = parse(data)
    return {
        f"{stem}.param": model.param,
        f"{stem}.bin": model.bin,
        f"{stem}.mud": mud(model, stem),
        "report.json": report_json(model),
    }


def mud(model: Container, stem: str) -> bytes:
    """The .mud text for `stem`.param and `stem`.bin beside it."""
    spread = model.mean * (3 // len(model.mean)), model.norm * (3 // len(model.norm))
    numbers = ",".join([*map(str, model.input), *map(_number, [*spread[0], *spread[1]])])
    lines = ["[basic]", "type = awnn", f"param = {stem}.param", f"bin = {stem}.bin", ""]
    lines += ["[inputs]", f"input0 = {numbers}", ""]
    lines += ["[outputs]", f"output0 = {','.join(map(str, model.output))}", ""]
    lines += ["[extra]", "outputs_scale =", "inputs_scale ="]
    return ("\n".join(lines) + "\n").encode()


def report_json(model: Container) -> bytes:
    """`labels`, `inputs`, `anchors` (w, h, w, h … in cells) and `label_type`, which MaixHub's app reads, and more."""
    values = {
        "name": model.name,
        "label_type": "detection" if model.anchors else "classification",
        "data_type": "image",
        "labels": list(model.labels),
        "inputs": {"input0": list(model.input)},
        "outputs": {"output0": list(model.output)},
        "anchors": [side for anchor in model.anchors for side in anchor],
        "mean": list(model.mean),
        "norm": list(model.norm),
    }
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def _number(value: float) -> str:
    """The nearest text of at most 9 characters, never with an exponent."""
    whole = len(f"{value:.0f}")
    decimals = max(0, NUMBER_WIDTH - 1 - whole)
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if len(text) > NUMBER_WIDTH:
        raise UnsupportedModel("MUD_NUMBER", f".mud: {value} has more than 9 characters.", fix="Use smaller numbers.")
    return text
