"""The port for CanMV on a K210. See k210.py; never run on hardware."""

from boardloop.crypto import hexlify, sha256
from maix import GPIO, KPU

from ports.k210 import K210Port
from ports.k210_pixels import planes


class Port(K210Port):
    """A frame is an image, or the path of a file with the raw network input: `run_with_output` takes both."""

    name = "k210_canmv"

    def __init__(self):
        K210Port.__init__(self, GPIO)
        self.kpu = None

    def frame_id(self, frame):
        if not isinstance(frame, str):
            return hexlify(sha256(planes(frame))[:8])
        with open(frame, "rb") as file:
            return hexlify(sha256(file.read())[:8])

    def golden_frame(self, data, width, height):
        """Exact: the firmware loads the file's bytes as they are."""
        path = self.root + "/golden.in"
        with open(path, "wb") as file:
            file.write(data)
        return path

    def load_model(self, path):
        self.unload_model()
        self.kpu = KPU()
        try:
            self.kpu.load_kmodel(path)
        except Exception:
            self.kpu = None  # it freed its memory; deinit would use it
            raise

    def unload_model(self):
        if self.kpu is not None:
            used, self.kpu = self.kpu, None
            used.init_yolo2((1.0, 1.0), anchor_num=1)  # deinit reads what this makes, and crashes without it
            used.deinit()

    def infer(self, frame):
        if self.kpu is None:
            raise OSError("no model is loaded")
        return self.kpu.run_with_output(frame, getlist=True)
