"""maix.nn: the model is two files; forward wants exactly h * w * c bytes.

With `board`, a simulator (planar in, CHW out), a model answers as the library would: HWC in, HWC out.
"""

import numpy as np

loaded = []
board = None
state = {"outputs": None, "boxes": [], "probs": []}  # what forward answers; None: sum and first byte of the picture


class Result:
    def __init__(self, values):
        self.values = values

    def flatten(self):
        return self.values


class Model:
    def __init__(self, opt):
        self.input, self.output = opt["inputs"]["input0"], opt["outputs"]["output0"]
        self.size = self.input[0] * self.input[1] * self.input[2]

    def forward(self, pixels, quantize, layout):
        assert quantize and layout == "hwc"
        if len(pixels) != self.size:
            raise ValueError("input data size error")
        if board is None:
            return Result(state["outputs"] or [sum(pixels), pixels[0]])
        height, width, channels = self.output
        image = np.frombuffer(pixels, np.uint8).reshape(self.input).transpose(2, 0, 1)
        return board.run(image[None]).reshape(channels, height, width).transpose(1, 2, 0)


def load(names, opt):
    with open(names["param"]) as file:
        if not file.read().startswith("7767517"):
            raise RuntimeError("load model failed")
    loaded.append((names, opt))
    return Model(opt)


class decoder:
    class Yolo2:
        def __init__(self, class_num, anchors, net_in_size, net_out_size):
            assert len(anchors) % 2 == 0 and net_out_size == (net_in_size[0] // 32, net_in_size[1] // 32)
            self.class_num = class_num

        def run(self, fmap, nms, threshold, img_size):
            assert isinstance(fmap, Result) and 0 < nms < 1 and 0 < threshold < 1
            assert all(len(each) == self.class_num for _, each in state["probs"])
            return state["boxes"], state["probs"]
