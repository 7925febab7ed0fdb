"""The port for MaixPy-v1 on a K210. See k210.py; never run on hardware."""

import image
import KPU as kpu
from boardloop.crypto import hexlify, sha256
from Maix import GPIO

from ports.k210 import K210Port
from ports.k210_pixels import planes


class Port(K210Port):
    name = "k210_maixpy"

    def __init__(self):
        K210Port.__init__(self, GPIO)
        self.task = None

    def frame_id(self, frame):
        return hexlify(sha256(planes(frame))[:8])

    def golden_frame(self, data, width, height):
        """Exact: the bytes go straight to where the KPU reads, past the image's RGB565."""
        picture = image.Image(size=(width, height))
        picture.pix_to_ai()  # makes the buffer
        planes(picture)[:] = data
        return picture

    def load_model(self, path):
        """ValueError from the firmware when the file is no model, or its path has no ".kmodel" in it."""
        self.unload_model()
        self.task = kpu.load(path)

    def unload_model(self):
        if self.task is not None:
            task, self.task = self.task, None
            kpu.deinit(task)

    def infer(self, frame):
        if self.task is None:
            raise OSError("no model is loaded")
        return list(kpu.forward(self.task, frame)[:])
