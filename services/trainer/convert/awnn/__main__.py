"""Quantises float ncnn networks for the V831, and looks into and runs what came out.

    python -m services.trainer.convert.awnn quantize FLOAT.param FLOAT.bin SCALES.table OUT.param OUT.bin
    python -m services.trainer.convert.awnn inspect FILE [--json]                 FILE.awnn or FILE.param
    python -m services.trainer.convert.awnn run FILE.awnn IN.npz OUT.npz

IN.npz holds `input_u8_chw`, uint8 (n, c, h, w); OUT.npz gets `output_f32`, float32 (n, outputs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.common.errors import BoardloopError, InvalidInput
from services.trainer.convert.awnn.container import parse
from services.trainer.convert.awnn.quantise import quantise
from services.trainer.convert.awnn.shapes import placement
from services.trainer.convert.awnn.simulate import AwnnSimulator
from services.trainer.convert.awnn.table import read_table
from services.trainer.convert.ncnn_bin import read_weights
from services.trainer.convert.ncnn_text import MAGIC, ParamLayer, read_param

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        if args.command == "quantize":
            _quantize(*(getattr(args, name) for name in ("param", "bin", "table", "out_param", "out_bin")))
        elif args.command == "inspect":
            summary = describe(_load(args.file))
            print(json.dumps(summary) if args.json else _as_text(summary))
        else:
            _run(args.file, args.input, args.output)
    except BoardloopError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    return 0


def describe(data: bytes) -> dict[str, Any]:
    """Everything but the weights, as plain values: of our one file, or of a .param text."""
    if data.lstrip()[: len(MAGIC)] == MAGIC.encode():
        return _describe_layers(read_param(data))
    model = parse(data)
    about: dict[str, Any] = {
        "name": model.name,
        "input_hwc": list(model.input),
        "output_hwc": list(model.output),
        "mean": list(model.mean),
        "norm": list(model.norm),
        "labels": list(model.labels),
        "param_bytes": len(model.param),
        "bin_bytes": len(model.bin),
    }
    return about | _describe_layers(read_param(model.param))


def _describe_layers(layers: Sequence[ParamLayer]) -> dict[str, Any]:
    cpu = [layer.name for layer in layers if layer.type != "Input" and placement(layer) == "CPU"]
    rows = [
        {
            "type": layer.type,
            "name": layer.name,
            "unit": "" if layer.type == "Input" else placement(layer),
            "inputs": list(layer.inputs),
            "outputs": list(layer.outputs),
            "params": {str(key): value for key, value in layer.params.items()},
        }
        for layer in layers
    ]
    return {"on_cpu": cpu, "layers": rows}


def _as_text(summary: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in summary.items() if key not in ("layers", "on_cpu")]
    lines.append(f"layers that the NPU leaves to the CPU: {', '.join(summary['on_cpu']) or 'none'}")
    for layer in summary["layers"]:
        params = " ".join(f"{key}={value}" for key, value in layer["params"].items())
        ends = f"{','.join(layer['inputs'])} -> {','.join(layer['outputs'])}"
        lines.append(f"{layer['unit']:3}  {layer['type']:14} {layer['name']:20} {ends:30} {params}")
    return "\n".join(lines)


def _quantize(param: Path, weights: Path, table: Path, out_param: Path, out_bin: Path) -> None:
    layers = read_param(_load(param))
    done = quantise(layers, read_weights(layers, _load(weights)), read_table(_load(table)))
    out_param.write_bytes(done.param())
    out_bin.write_bytes(done.bin())


def _run(file: Path, source: Path, target: Path) -> None:
    simulator = AwnnSimulator(_load(file))
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
    parser = argparse.ArgumentParser(prog="python -m services.trainer.convert.awnn")
    commands = parser.add_subparsers(dest="command", required=True)
    quantize = commands.add_parser("quantize", help="int8 network from a float ncnn network and a calibration table")
    for name in ("param", "bin", "table", "out_param", "out_bin"):
        quantize.add_argument(name, type=Path)
    inspect = commands.add_parser("inspect", help="show the layers and where they run")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--json", action="store_true")
    run = commands.add_parser("run", help="simulate the file on images")
    for name in ("file", "input", "output"):
        run.add_argument(name, type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
