"""What the camera sees and where, on the display, for a V831 (Maix-II-Dock) with MaixPy3.

Made by Boardloop. Copy all files of the archive into one folder of the board and run `python3 main.py` there; as
/root/main.py with the model beside it, it starts with the board. The board's own app must not run: it holds the camera.
Never run on hardware by its makers: it was run over stand-ins of MaixPy3's modules.
"""

import os
import time

from maix import camera, display, nn
from maix.nn import decoder

# --- this model
MODEL = {"param": "model.param", "bin": "model.bin"}
OPTIONS = {
    "model_type": "awnn",
    "inputs": {"input0": (224, 224, 3)},
    "outputs": {"output0": (7, 7, 35)},
    "mean": [127.5, 127.5, 127.5],
    "norm": [0.0078125, 0.0078125, 0.0078125],
}
LABELS = ["cat", "dog"]
NAMES = ["cat", "dog"]
INPUT = (224, 224)
ANCHORS = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]
# ---
WINDOW = (224, 224)  # px, as in captures
THRESHOLD = 0.5  # finds below this probability are left out
OVERLAP = 0.3  # of two finds of a label that overlap by more, the better one stays
CELL = 32  # px of the input in a cell of the network's map
RED = (255, 0, 0)


def look(model, yolo):
    """One picture from the camera to the display: [(x, y, w, h, index, probability)] in pixels of the window."""
    picture = camera.capture()
    if picture is None:  # another program holds the camera
        time.sleep(0.01)
        return []
    small = picture if INPUT == WINDOW else picture.resize(*INPUT)
    output = model.forward(small.tobytes("rgb"), quantize=True, layout="hwc")
    boxes, chances = yolo.run(output, nms=OVERLAP, threshold=THRESHOLD, img_size=WINDOW)
    finds = [(*map(int, box), index, each[index]) for box, (index, each) in zip(boxes, chances)]
    for x, y, w, h, index, chance in finds:
        picture.draw_rectangle(x, y, x + w, y + h, color=RED, thickness=2)
        # the built-in font is ASCII; for others: image.load_freetype("font.ttf"), and LABELS in place of NAMES
        picture.draw_string(x + 2, y + 2, "%s %d%%" % (NAMES[index], round(100 * chance)), scale=1, color=RED)
    display.show(picture)
    return finds


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    camera.camera.config(size=WINDOW)
    model = nn.load(MODEL, opt=OPTIONS)
    grid = (INPUT[0] // CELL, INPUT[1] // CELL)
    yolo = decoder.Yolo2(len(LABELS), ANCHORS, net_in_size=INPUT, net_out_size=grid)
    while True:
        finds = look(model, yolo)
        if finds:
            line = ["%d:%d:%d:%d:%d:%.4f:%s" % (*find, LABELS[find[4]]) for find in finds]
            print(", ".join(line), flush=True)


if __name__ == "__main__":
    main()
