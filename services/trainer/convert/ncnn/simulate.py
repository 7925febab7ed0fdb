"""Our ncnn archive in the ncnn runtime itself, one thread.

Arithmetic is that of ncnn on a processor without half-precision units: float16 weights, sums in float32. A board whose
ncnn computes in float16 (ARMv8.2) rounds more. int8 layers add in whole numbers everywhere.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.contract import Images, Outputs
from services.trainer.convert.ncnn.archive import BIN, PARAM, Archive
from services.trainer.convert.ncnn.network import check_network
from services.trainer.convert.ncnn_bin import read_weights
from services.trainer.convert.ncnn_text import read_param

__all__ = ["NcnnSimulator"]

# What ncnn may do on this machine only: the answers should be those of every machine. `num_threads` 1: more threads
# wait for each other on a loaded machine, up to a hundred times longer than the network takes.
OPTIONS = {
    "num_threads": 1,
    "use_fp16_packed": False,
    "use_fp16_storage": False,
    "use_fp16_arithmetic": False,
    "use_bf16_storage": False,
    "use_vulkan_compute": False,
}


class NcnnSimulator:
    """Runs a file of the targets linux-ncnn-*. Raises UnsupportedModel for any other."""

    def __init__(self, data: bytes) -> None:
        archive = Archive.read(data)
        self.description = archive.description
        self.input_shape = self.description.shape
        layers = read_param(archive.param)
        weights = read_weights(layers, archive.weights)
        shape = check_network(layers, weights, self.description.input, self.description.shape, self.description.output)
        self._outputs = math.prod(shape)
        mean, norm = (np.asarray(v, np.float32)[:, None, None] for v in (self.description.mean, self.description.norm))
        self._mean, self._norm = mean, norm
        self._net = _loaded(archive)

    def run(self, images_u8: Images) -> Outputs:
        """uint8 (n, c, h, w) to float32 (n, outputs); see contract.Simulator."""
        rows = [row[0] for row in self.blobs(images_u8, [self.description.output])]
        return np.stack(rows) if rows else np.zeros((0, self._outputs), np.float32)

    def blobs(self, images_u8: Images, names: Sequence[str]) -> list[list[Outputs]]:
        """For every image the blobs `names`, each flattened in CHW order."""
        if images_u8.dtype != np.uint8 or images_u8.shape[1:] != self.input_shape:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the file eats uint8 (n, {self.input_shape}).",
                fix="Resize the images to the network's input, RGB planar, one byte per channel.",
            )
        return [self._one(image, names) for image in images_u8]

    def _one(self, image: Images, names: Sequence[str]) -> list[Outputs]:
        pixels = np.ascontiguousarray((image.astype(np.float32) - self._mean) * self._norm)
        extractor = self._net.create_extractor()
        extractor.input(self.description.input, ncnn.Mat(pixels))
        found = []
        for name in names:
            code, blob = extractor.extract(name)
            if code:
                raise _refused(f"it cannot compute the blob {name} ({code})")
            found.append(np.array(blob, np.float32).reshape(-1))
        return found


def _loaded(archive: Archive) -> Any:
    """From real files: from memory ncnn would keep pointers into Python's bytes."""
    net = ncnn.Net()
    for name, value in OPTIONS.items():
        setattr(net.opt, name, value)
    with tempfile.TemporaryDirectory(prefix="boardloop-ncnn-") as folder:
        for name, content in ((PARAM, archive.param), (BIN, archive.weights)):
            (Path(folder) / name).write_bytes(content)
        if net.load_param(str(Path(folder) / PARAM)) or net.load_model(str(Path(folder) / BIN)):
            raise _refused("it cannot load it")
    return net


def _refused(what: str) -> UnsupportedModel:
    return UnsupportedModel("NCNN_RUNTIME", f"ncnn refuses the file: {what}.", fix="Convert the network again.")
