"""What a network is besides its operators: the entry "boardloop" of an ONNX file's metadata_props.

{"name": "shapes", "labels": ["disc", …], "mean": [0, 0, 0], "std": [1, 1, 1], "anchors": [[1.2, 2.1], …],
 "pixels": "uint8", "head": ""}

`pixels` says what the file's input eats: "normalised" is x = (u8/255 - mean)/std, "float32" and "uint8" are 0 to 255.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from services.common.errors import UnsupportedModel
from services.trainer.graph import Graph, Head

__all__ = ["KEY", "Metadata", "Pixels"]

KEY = "boardloop"
MAX_LABELS = 4096
Pixels = Literal["normalised", "float32", "uint8"]


@dataclass(frozen=True)
class Metadata:
    """Mean and std have one value a channel, in units of u8/255; anchors are (width, height) in cells."""

    name: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    anchors: tuple[tuple[float, float], ...]
    pixels: Pixels
    head: Head = ""  # "anchor_free": the map is that of services.trainer.detection.anchor_free

    @classmethod
    def of(cls, graph: Graph, pixels: Pixels) -> Metadata:
        spec = graph.input
        return cls(graph.name, graph.labels, spec.mean, spec.std, graph.anchors, pixels, graph.head)

    def to_json(self) -> str:
        """One line, the same for the same network."""
        return json.dumps(vars(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Metadata:
        """Raises UnsupportedModel for anything `to_json` does not write."""
        try:
            return cls._parsed(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as problem:
            raise UnsupportedModel(
                "ONNX_METADATA",
                f"ONNX: the metadata entry {KEY!r} cannot be read ({type(problem).__name__}: {problem}).",
                fix="Write the file again, or remove the entry and give mean, std, labels and anchors yourself.",
            ) from problem

    @classmethod
    def _parsed(cls, fields: dict[str, Any]) -> Metadata:
        if fields["pixels"] not in get_args(Pixels) or not isinstance(fields["name"], str):
            raise ValueError(f"pixels are {fields['pixels']!r}, the name is {fields['name']!r}")
        head = fields.get("head", "")
        if head not in get_args(Head):
            raise ValueError(f"the head is {head!r}")
        labels = fields["labels"]
        if len(labels) > MAX_LABELS or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"labels must be at most {MAX_LABELS} texts")
        anchors = tuple((float(width), float(height)) for width, height in fields["anchors"])
        mean, std = (tuple(float(v) for v in fields[key]) for key in ("mean", "std"))
        if not all(math.isfinite(v) for v in (*mean, *std, *(v for pair in anchors for v in pair))):
            raise ValueError("a mean, std or anchor is not finite")
        return cls(fields["name"], tuple(labels), mean, std, anchors, fields["pixels"], head)
