"""nncase's simulator of the K210 behind our interface: one process, alive as long as somebody holds the simulator."""

from __future__ import annotations

import numpy as np

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.contract import Images, Outputs
from services.trainer.convert.kmodel_v5.compiler import load, run
from services.trainer.convert.kmodel_v5.process import Worker
from services.trainer.convert.kmodel_v5.reader import read

__all__ = ["KModelV5Simulator"]


class KModelV5Simulator:
    """A loaded kmodel V5. `run` takes about 0.4 s an image for MobileNetV1-0.5 at 224x224."""

    def __init__(self, data: bytes, version: str) -> None:
        """UnsupportedModel for a file that is no kmodel V5 of an image network; and the errors of `Worker`."""
        model = read(data)
        inputs = model.entry.inputs
        if len(inputs) != 1 or len(inputs[0]) != 4 or inputs[0][0] != 1:
            raise UnsupportedModel(
                "KMODEL_MALFORMED",
                f"kmodel V5: the inputs are {inputs}, the simulator eats one image (1, c, h, w).",
                fix="Convert a network that takes one image.",
            )
        _, channels, height, width = inputs[0]
        self.input_shape: tuple[int, int, int] = (channels, height, width)
        self.outputs = sum(int(np.prod(shape)) for shape in model.entry.outputs)
        self._worker = Worker(version)
        load(self._worker, data)

    def run(self, images_u8: Images) -> Outputs:
        """Images (n, c, h, w) of `input_shape`, RGB planar, to float32 (n, outputs)."""
        if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[1:] != self.input_shape:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the model eats uint8 (n, {self.input_shape})",
                fix="Resize the images to the model's input, RGB planar, one byte per channel.",
            )
        if not len(images_u8):
            return np.zeros((0, self.outputs), np.float32)
        return run(self._worker, images_u8).outputs
