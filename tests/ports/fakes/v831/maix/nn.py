"""maix.nn: the model is two files; forward wants exactly h * w * c bytes."""

loaded = []


class Result:
    def __init__(self, values):
        self.values = values

    def flatten(self):
        return self.values


class Model:
    def __init__(self, size):
        self.size = size

    def forward(self, pixels, quantize, layout):
        assert quantize and layout == "hwc"
        if len(pixels) != self.size:
            raise ValueError("input data size error")
        return Result([sum(pixels), pixels[0]])


def load(names, opt):
    with open(names["param"]) as file:
        if not file.read().startswith("7767517"):
            raise RuntimeError("load model failed")
    loaded.append((names, opt))
    height, width, channels = opt["inputs"]["input0"]
    return Model(height * width * channels)
