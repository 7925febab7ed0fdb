"""CanMV's `maix`: KPU with its two traps, the crash of a deinit without init_yolo2 and the use of freed memory."""

from parts import GPIO  # noqa: F401

log = []
state = {"outputs": None, "finds": []}  # as in KPU.py


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
        assert self.loaded and (getlist or self.yolo)
        if isinstance(source, str):
            with open(source, "rb") as file:
                data = file.read()
        elif source.pix_ai is None:
            raise OSError("Image formart error, use pix_to_ai() method to convert for kpu")
        else:
            data = source.pix_ai
        if not getlist:
            return None
        return state["outputs"] or [float(sum(data)), float(data[0])]

    def init_yolo2(
        self, anchor, anchor_num=5, img_w=320, img_h=240, net_w=320, net_h=240,
        layer_w=10, layer_h=8, threshold=0.7, nms_value=0.4, classes=1,
    ):  # fmt: skip
        assert len(anchor) == 2 * anchor_num
        self.yolo = (img_w, img_h, net_w, net_h, layer_w, layer_h, classes)

    def regionlayer_yolo2(self):
        width, height = self.yolo[2:4]
        assert self.yolo[:2] == (width, height) and self.yolo[4:6] == (width // 32, height // 32)
        assert all(find[4] < self.yolo[6] for find in state["finds"])
        return [list(find) for find in state["finds"]]

    def deinit(self):
        assert self.yolo, "NULL yolo2_rl"
        assert self.loaded, "free of freed memory"
        self.loaded = False
        log.append("deinit")
