"""The network that a person names: a Boardloop checkpoint or an ONNX file, as a Graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from services.common.errors import InvalidInput, NotFound
from services.trainer.convert.common import file_stem
from services.trainer.graph import Graph

__all__ = ["load_graph", "numbers", "read_labels"]

MAX_BYTES = 512 * 1024 * 1024  # no chip of the table runs a hundredth of it
MAX_LABELS = 4096


def load_graph(path: Path, labels: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> Graph:
    """The network of `path`; empty `labels`, `mean`, `std`: those of the file. Needs torch.

    NotFound: no such file. InvalidInput, UnsupportedModel: it is damaged, or no network that a converter takes.
    """
    if not path.is_file():
        raise NotFound(
            "MODEL_NOT_FOUND",
            f"There is no file {path}.",
            fix="Name a .pt or .onnx file, or the id of a model together with --url.",
        )
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(
            "MODEL_TOO_LARGE", f"{path} has more than {MAX_BYTES} bytes.", fix="No chip of the table runs such a model."
        )
    if path.suffix == ".onnx":
        graph = _from_onnx(path, labels, mean, std)
    elif path.suffix == ".pt":
        graph = _from_checkpoint(path, mean, std)
    else:
        raise InvalidInput(
            "MODEL_KIND", f"{path} is neither .pt nor .onnx.", fix="Export the network as ONNX (torch.onnx.export)."
        )
    return _labelled(graph, labels)


def read_labels(text: str) -> tuple[str, ...]:
    """`a,b,c`, or a file with one label a line. InvalidInput: a label twice, none, or too many."""
    path = Path(text)
    try:
        named = path.read_text().splitlines() if path.is_file() else text.split(",")
    except (OSError, ValueError) as error:
        raise InvalidInput("LABELS_BROKEN", f"{path} cannot be read as text: {error}.", field="labels") from error
    labels = tuple(label.strip() for label in named if label.strip())
    if not labels or len(set(labels)) != len(labels) or len(labels) > MAX_LABELS:
        raise InvalidInput(
            "LABELS_BROKEN",
            f"{text!r} has {len(labels)} labels, {len(set(labels))} of them different.",
            fix="Give a file with one label a line, or a,b,c, in the order of the network's outputs.",
            field="labels",
        )
    return labels


def numbers(text: str, option: str) -> tuple[float, ...]:
    """`0.5` or `0.485,0.456,0.406`; "" gives (). InvalidInput names the option."""
    try:
        found = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        found = (math.nan,)
    if not all(math.isfinite(number) for number in found):
        raise InvalidInput(
            "NOT_NUMBERS", f"{option} is {text!r}.", fix="Give one number, or one for each channel: 0.485,0.456,0.406."
        )
    return found


def _from_onnx(path: Path, labels: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> Graph:
    from services.trainer.convert.onnx_file.read import from_onnx

    return from_onnx(path.read_bytes(), mean=mean or None, std=std or None, labels=labels or None, name=_name(path))


def _from_checkpoint(path: Path, mean: Sequence[float], std: Sequence[float]) -> Graph:
    from services.trainer.loop import load_checkpoint
    from services.trainer.networks import graph_of

    if mean or std:
        raise InvalidInput("NOT_FOR_CHECKPOINTS", "A checkpoint knows its --mean and --std.", fix="Leave them out.")
    kept = load_checkpoint(path)
    return graph_of(kept.model, kept.config, kept.labels, _name(path))


def _labelled(graph: Graph, labels: tuple[str, ...]) -> Graph:
    outputs = math.prod(graph.shapes()[-1])
    if labels and graph.kind == "classifier" and len(labels) != outputs:
        raise InvalidInput(
            "LABELS_COUNT",
            f"{len(labels)} labels, but the network has {outputs} outputs.",
            fix="Give one label for each output, in their order.",
            field="labels",
        )
    return replace(graph, labels=labels) if labels else graph


def _name(path: Path) -> str:
    return file_stem(path.stem)
