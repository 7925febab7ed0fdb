"""Looks into kmodel V3 files and runs them on this machine.

    python -m services.trainer.convert.kmodel_v3 inspect FILE [--json]
    python -m services.trainer.convert.kmodel_v3 run FILE IN.npz OUT.npz [--rounding half-even]
    python -m services.trainer.convert.kmodel_v3 rewrite FILE OUT

IN.npz holds `input_u8_chw`, uint8 (n, c, h, w); OUT.npz gets `output_f32`, float32 (n, outputs).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from services.common.errors import BoardloopError, InvalidInput
from services.trainer.convert.kmodel_v3.layers import KModel, KpuConv, Layer
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator, Rounding
from services.trainer.convert.kmodel_v3.writer import write

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        if args.command == "inspect":
            summary = describe(read(_load(args.file)))
            print(json.dumps(summary) if args.json else _as_text(summary))
        elif args.command == "run":
            _run(args.file, args.input, args.output, Rounding(args.rounding))
        else:
            args.output.write_bytes(write(read(_load(args.file))))
    except BoardloopError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    return 0


def describe(model: KModel) -> dict[str, Any]:
    """Everything but the weights, as plain values."""
    return {
        "main_memory": model.main_memory,
        "lowest_row": model.lowest_row,
        "outputs": [{"address": o.address, "size": o.size} for o in model.outputs],
        "trailing_bytes": len(model.trailing),
        "layers": [
            {"offset": offset, **_describe_layer(layer)}
            for offset, layer in zip(model.offsets, model.layers, strict=True)
        ],
    }


def _describe_layer(layer: Layer) -> dict[str, Any]:
    if not isinstance(layer, KpuConv):
        plain = {f.name: getattr(layer, f.name) for f in fields(layer)}
        return {"type": layer.NAME, **{k: v for k, v in plain.items() if isinstance(v, int | float)}}
    shape = layer.shape
    return {
        "type": layer.NAME,
        "input": [shape.in_channels, shape.height, shape.width],
        "output": [shape.out_channels, shape.out_height, shape.out_width],
        "kernel": shape.kernel,
        "depthwise": shape.depthwise,
        "pool": shape.pool,
        "load_time": shape.load_time,
        "pad_value": layer.quant.pad_value,
        "source_row": layer.source_row,
        "target_row": layer.target_row,
        "to_main_memory": layer.to_main_memory,
    }


def _as_text(summary: dict[str, Any]) -> str:
    outputs = ", ".join(f"{o['size']} bytes at {o['address']}" for o in summary["outputs"])
    lines = [f"kmodel V3, main memory {summary['main_memory']} bytes, outputs: {outputs}"]
    for i, layer in enumerate(summary["layers"]):
        rest = "  ".join(f"{k}={v}" for k, v in layer.items() if k not in ("type", "offset"))
        lines.append(f"{i:3}  {layer['offset']:8}  {layer['type']:24}  {rest}")
    return "\n".join(lines)


def _run(file: Path, source: Path, target: Path, rounding: Rounding) -> None:
    simulator = KModelSimulator(_load(file), rounding)
    try:
        with np.load(source) as arrays:
            images = arrays["input_u8_chw"]
    except (OSError, ValueError, KeyError) as problem:
        raise InvalidInput(
            "INPUT_FILE", f"{source}: {problem}", fix="Give an .npz file with the array input_u8_chw."
        ) from problem
    np.savez_compressed(target, output_f32=simulator.run(images))


def _load(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise InvalidInput("INPUT_FILE", f"{path}: {problem.strerror}", fix="Check the path.") from problem


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.trainer.convert.kmodel_v3")
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser("inspect", help="show header and layers")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--json", action="store_true")
    run = commands.add_parser("run", help="simulate the file on images")
    run.add_argument("file", type=Path)
    run.add_argument("input", type=Path)
    run.add_argument("output", type=Path)
    run.add_argument("--rounding", choices=[r.value for r in Rounding], default=Rounding.HALF_AWAY.value)
    rewrite = commands.add_parser("rewrite", help="read and write again; the bytes must be the same")
    rewrite.add_argument("file", type=Path)
    rewrite.add_argument("output", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
