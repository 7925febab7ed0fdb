"""The port for the V831 (Maix-II-Dock with MaixPy3). See v831_linux.py; never run on hardware.

The image's own app holds the camera: it must not run, or `camera.capture` gives None. No TLS here.

A V831 model is two files, a text and the weights; a release carries them as one, `awnn_int8`:

    +-------------+------ - - ------+------ - - ------+------ - - ------+
    | JSON length | JSON            | .param          | .bin            |
    | u32 BE      |                 | ncnn text       | int8 weights    |
    +-------------+------ - - ------+------ - - ------+------ - - ------+
    JSON: {"param": 1234, "input": [224, 224, 3], "output": [1, 1, 2], "mean": [127.5, ...], "norm": [0.0078125, ...]}
          param: bytes of .param; input, output: h, w, c of the blobs input0 and output0; (x - mean) * norm
"""

import hashlib
import json
import os
import subprocess
import sys
import time

from evdev import InputDevice
from maix import camera, display, image, nn

from ports import v831_linux

SIDE = 224  # px
KEYS = "/dev/input/event0"
STORAGE = "/root"
SCREEN = (240, 240)
LINE = 22  # px
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


class Port:
    name = "v831"
    board_type = "v831"
    model_format = "awnn_int8"
    chunk = 32768
    block = 32768
    root = STORAGE + "/boardloop"
    flat = False

    def __init__(self):
        self.firmware = "MaixPy3, Python " + sys.version.split()[0]
        camera.camera.config(size=(SIDE, SIDE))
        self.keys = v831_linux.Keys(InputDevice(KEYS))
        self.model = None
        self.channels = 1  # of the model's output

    # --- camera and NPU

    def snapshot(self):
        picture = camera.capture()
        if picture is None:
            raise OSError("the camera gives no picture; another program may hold it")
        return picture

    def capture(self):
        picture = self.snapshot()
        display.show(picture)
        return picture.tobytes("jpg"), SIDE, SIDE

    def frame(self, width, height):
        """A frame is (RGB bytes as HWC, width, height)."""
        picture = self.snapshot()
        if (width, height) != (SIDE, SIDE):
            picture = picture.resize(width, height)
        return picture.tobytes("rgb"), width, height

    def frame_id(self, frame):
        planar = b"".join(frame[0][plane::3] for plane in range(3))
        return hashlib.sha256(planar).hexdigest()[:16]

    def golden_frame(self, data, width, height):
        count = width * height
        pixels = bytearray(3 * count)
        for plane in range(3):
            pixels[plane::3] = data[plane * count : (plane + 1) * count]
        return bytes(pixels), width, height

    def load_model(self, path):
        """ValueError when the file is not of the form above; OSError when the NPU library refuses it."""
        self.unload_model()
        with open(path, "rb") as file:
            about = json.loads(file.read(int.from_bytes(file.read(4), "big")).decode())
            param, weights = file.read(about["param"]), file.read()
        names = {"param": path + ".param", "bin": path + ".bin"}
        for name, data in ((names["param"], param), (names["bin"], weights)):
            with open(name, "wb") as file:
                file.write(data)
        options = {
            "model_type": "awnn",
            "inputs": {"input0": tuple(about["input"])},
            "outputs": {"output0": tuple(about["output"])},
            "mean": about["mean"],
            "norm": about["norm"],
        }
        try:
            self.model = nn.load(names, opt=options)
        except Exception as error:  # the library's own kinds
            raise OSError("nn.load: %s" % error)
        self.channels = about["output"][2]

    def unload_model(self):
        self.model = None

    def infer(self, frame):
        if self.model is None:
            raise OSError("no model is loaded")
        outputs = self.model.forward(frame[0], quantize=True, layout="hwc")
        values = [float(value) for value in outputs.flatten()]
        return [value for channel in range(self.channels) for value in values[channel :: self.channels]]  # as CHW

    # --- key and display

    def button(self):
        return self.keys.poll()

    def show(self, text, picture=None):
        if picture is None:
            picture = image.new(size=SCREEN, color=BLACK, mode="RGB")
        for number, line in enumerate(text.split("\n")):
            picture.draw_string(4, 4 + LINE * number, line, color=WHITE)
        display.show(picture)

    def scan_qr(self):
        picture = self.snapshot()
        display.show(picture)
        codes = picture.find_qrcodes()
        return codes[0]["payload"] if codes else None

    # --- network

    def wifi(self, ssid, password):
        v831_linux.join(ssid, password)

    def connect(self, host, port):
        return v831_linux.Link(host, port)

    # --- the board itself

    def unique_id(self):
        return v831_linux.unique_id()

    def free(self):
        about = os.statvfs(STORAGE)
        return about.f_bavail * about.f_frsize

    def reset(self):
        subprocess.run(["reboot"], check=True)

    def ticks_ms(self):
        return int(time.monotonic() * 1000)

    def ticks_diff(self, a, b):
        return a - b

    def sleep_ms(self, count):
        time.sleep(count / 1000)

    def feed(self):
        """Nothing: the image's watchdog, if it has one, is Linux's matter."""
