"""What the camera sees, on the display, for a V831 (Maix-II-Dock) with MaixPy3.

Made by Boardloop. Copy all files of the archive into one folder of the board and run `python3 main.py` there; as
/root/main.py with the model beside it, it starts with the board. The board's own app must not run: it holds the camera.
Never run on hardware by its makers: it was run over stand-ins of MaixPy3's modules.
"""

import math
import os
import time

from maix import camera, display, nn

# --- this model
MODEL = {"param": "model.param", "bin": "model.bin"}
OPTIONS = {
    "model_type": "awnn",
    "inputs": {"input0": (128, 128, 3)},
    "outputs": {"output0": (1, 1, 2)},
    "mean": [127.5, 127.5, 127.5],
    "norm": [0.0078125, 0.0078125, 0.0078125],
}
LABELS = ["cat", "dog"]
NAMES = ["cat", "dog"]
INPUT = (128, 128)
# ---
WINDOW = (224, 224)  # px, as in captures
LEAST = 0.5  # below this probability nothing is shown
RED = (255, 0, 0)


def softmax(logits):
    highest = max(logits)
    powers = [math.exp(value - highest) for value in logits]
    total = sum(powers)
    return [power / total for power in powers]


def look(model):
    """One picture from the camera to the display; the index and the probability of the best label."""
    picture = camera.capture()
    if picture is None:  # another program holds the camera
        time.sleep(0.01)
        return None
    small = picture if INPUT == WINDOW else picture.resize(*INPUT)
    output = model.forward(small.tobytes("rgb"), quantize=True, layout="hwc")
    chances = softmax([float(value) for value in output.flatten()])
    best = chances.index(max(chances))
    if chances[best] >= LEAST:
        # the built-in font is ASCII; for others: image.load_freetype("font.ttf"), and LABELS in place of NAMES
        picture.draw_string(4, 4, "%s %d%%" % (NAMES[best], round(100 * chances[best])), scale=2, color=RED)
    display.show(picture)
    return best, chances[best]


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    camera.camera.config(size=WINDOW)
    model = nn.load(MODEL, opt=OPTIONS)
    told = None
    while True:
        seen = look(model)
        if seen and seen[0] != told:
            told = seen[0]
            print("%d:%.4f:%s" % (seen[0], seen[1], LABELS[seen[0]]), flush=True)


if __name__ == "__main__":
    main()
