"""CanMV's `maix`: KPU with its two traps, the crash of a deinit without init_yolo2 and the use of freed memory."""

from parts import GPIO  # noqa: F401

log = []


class KPU:
    def __init__(self):
        self.loaded = False
        self.yolo = False

    def load_kmodel(self, path):
        with open(path, "rb") as file:
            if file.read(4) != b"\x03\0\0\0":
                raise OSError("Failed to init model")
        self.loaded = True
        log.append("load")

    def run_with_output(self, source, getlist=False):
        assert self.loaded and getlist
        if isinstance(source, str):
            with open(source, "rb") as file:
                data = file.read()
        elif source.pix_ai is None:
            raise OSError("Image formart error, use pix_to_ai() method to convert for kpu")
        else:
            data = source.pix_ai
        return [float(sum(data)), float(data[0])]

    def init_yolo2(self, anchor, anchor_num=5):
        assert len(anchor) == 2 * anchor_num
        self.yolo = True

    def deinit(self):
        assert self.yolo, "NULL yolo2_rl"
        assert self.loaded, "free of freed memory"
        self.loaded = False
        log.append("deinit")
