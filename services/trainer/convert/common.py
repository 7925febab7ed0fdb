"""What every converter does the same way: looks at its input, measures its output, and says no."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.contract import ConvertOptions, Images
from services.trainer.graph import Add, Conv, FullyConnected, Graph

__all__ = [
    "MIN_CALIBRATION_IMAGES",
    "agreement",
    "calibration_images",
    "check_weights",
    "check_whole",
    "file_stem",
    "one_blas_thread",
    "snr_db",
    "unsupported",
]

MIN_CALIBRATION_IMAGES = 4


def calibration_images(graph: Graph, images: Images, options: ConvertOptions) -> Images:
    """At most `max_calibration_images`, evenly spread. Raises InvalidInput for a wrong shape or too few."""
    spec = graph.input
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (spec.channels, spec.height, spec.width):
        raise InvalidInput(
            "CALIBRATION_SHAPE",
            f"calibration images are {images.dtype} {images.shape}; the network {graph.name} eats uint8 "
            f"(n, {spec.channels}, {spec.height}, {spec.width}).",
            fix="Resize training images to the network's input, RGB planar, one byte per channel.",
        )
    if len(images) < MIN_CALIBRATION_IMAGES:
        raise InvalidInput(
            "CALIBRATION_TOO_FEW",
            f"{len(images)} calibration images; the ranges of the activations need at least {MIN_CALIBRATION_IMAGES}.",
            fix="Give 20 or more images of the training split, from all labels.",
        )
    count = min(len(images), max(options.max_calibration_images, MIN_CALIBRATION_IMAGES))
    chosen: Images = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
    return chosen


def unsupported(layer: str, what: str, fix: str, reason: str = "UNSUPPORTED_LAYER") -> UnsupportedModel:
    return UnsupportedModel(reason, f"layer {layer}: {what}.", fix=fix, layer=layer)


def check_weights(layer: str, *arrays: npt.NDArray[Any]) -> None:
    """Raises UnsupportedModel for a weight or a bias that is not a number."""
    for array in arrays:
        if not np.isfinite(array).all():
            raise unsupported(
                layer,
                "weights or biases hold NaN or infinity",
                "Train again with a lower learning rate; this network has diverged.",
                "WEIGHTS_NOT_FINITE",
            )


def check_whole(graph: Graph) -> None:
    """Shapes, sources and weights of every layer: InvalidInput or UnsupportedModel names the first wrong one."""
    graph.shapes()
    for layer in graph.layers:
        if isinstance(layer, Conv | FullyConnected):
            check_weights(layer.name, layer.weight, layer.bias)
        if isinstance(layer, Conv | FullyConnected | Add) and not math.isfinite(layer.activation.slope):
            raise unsupported(layer.name, f"a leaky slope of {layer.activation.slope}", "Use a slope between 0 and 1.")


def agreement(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Share of images, outputs (n, outputs), whose highest output is the same."""
    return float((a.argmax(1) == b.argmax(1)).mean())


def snr_db(wanted: npt.NDArray[np.floating], got: npt.NDArray[np.floating]) -> float:
    """Signal-to-noise ratio in decibels, between 0 noise = 120 and no signal = 0."""
    signal = float(np.square(wanted, dtype=np.float64).sum())
    noise = float(np.square(wanted - got, dtype=np.float64).sum())
    if noise == 0:
        return 120.0
    return round(10 * math.log10(signal / noise), 2) if signal > 0 else 0.0


def one_blas_thread() -> AbstractContextManager[Any]:
    """numpy's matrix library on one thread: the products are small here, more threads only wait for each other."""
    limiter: AbstractContextManager[Any] = _blas().limit(limits=1)
    return limiter


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")


def file_stem(name: str) -> str:
    """A name that SPIFFS and FAT both take."""
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)
    return stem[:48] or "model"
