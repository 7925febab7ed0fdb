"""What the camera sees, on the display and on UART1, for a K210 with MaixPy-v1 or CanMV firmware.

Made by Boardloop. Copy all files of the archive to the top folder of an SD card, put it into the board and switch on.
Never run on hardware by its makers: it was run in MicroPython over stand-ins of the firmware's modules.

UART1 (TX on IO 10, RX on IO 11, 115200 8N1) puts out one line a picture: index:probability:label
"""

import gc
import math
import os

import lcd
import sensor
from fpioa_manager import fm
from machine import UART

try:
    import KPU  # MaixPy-v1
except ImportError:
    from maix import KPU as CanmvKPU

    KPU = None

# --- this model
MODEL = "model.kmodel"
LABELS = ["cat", "dog"]
NAMES = ["cat", "dog"]
INPUT = (128, 128)
WINDOW = (224, 224)
# ---
UART_TX, UART_RX, BAUD = 10, 11, 115200  # UART_TX = None: no output there
MIRROR = 0  # 1: for a camera that looks at you
LEAST = 0.5  # below this probability nothing is shown
RED = (255, 0, 0)


class MaixPy:
    def __init__(self, path):
        self.task = KPU.load(path)  # the path must have ".kmodel" in it

    def logits(self, picture):
        return KPU.forward(self.task, picture)[:]

    def stop(self):
        KPU.deinit(self.task)


class CanMV:
    def __init__(self, path):
        self.kpu = CanmvKPU()
        self.kpu.load_kmodel(path)

    def logits(self, picture):
        return self.kpu.run_with_output(picture, getlist=True)

    def stop(self):
        self.kpu.init_yolo2((1.0, 1.0), anchor_num=1)  # deinit reads what this makes, and crashes without it
        self.kpu.deinit()


def softmax(logits):
    """The file gives logits: the chip's own softmax fails when all of them are very negative."""
    highest = max(logits)
    powers = [math.exp(value - highest) for value in logits]
    total = sum(powers)
    return [power / total for power in powers]


def start_camera():
    sensor.reset()
    sensor.set_pixformat(sensor.RGB565)
    sensor.set_framesize(sensor.QVGA)
    sensor.set_windowing(WINDOW)
    sensor.set_hmirror(MIRROR)
    sensor.run(1)
    sensor.skip_frames(time=500)


def snapshot():
    """One picture; the camera is started again when it gives none."""
    try:
        return sensor.snapshot()
    except RuntimeError:
        start_camera()
        return sensor.snapshot()


def for_network(picture):
    """The picture in the network's size and in the KPU's own form, which the camera's pictures have already."""
    if INPUT == WINDOW:
        return picture
    small = picture.resize(INPUT[0], INPUT[1])
    small.pix_to_ai()
    return small


def open_uart():
    if UART_TX is None:
        return None
    fm.register(UART_TX, fm.fpioa.UART1_TX, force=True)
    fm.register(UART_RX, fm.fpioa.UART1_RX, force=True)
    return UART(UART.UART1, BAUD, read_buf_len=256)


def look(network, uart):
    """One picture from the camera to the display."""
    gc.collect()
    picture = snapshot()
    chances = softmax(network.logits(for_network(picture)))
    best = chances.index(max(chances))
    if uart:
        uart.write(("%d:%.4f:%s\n" % (best, chances[best], LABELS[best])).encode())
    if chances[best] >= LEAST:
        # the display's font has no signs beyond ASCII: NAMES has "#0" for such a label, and its number
        picture.draw_string(4, 4, "%s %d%%" % (NAMES[best], round(100 * chances[best])), color=RED, scale=2)
    lcd.display(picture)


def main():
    lcd.init()
    try:
        network = (MaixPy if KPU else CanMV)(os.getcwd() + "/" + MODEL)  # the card's folder, /flash without a card
        start_camera()
        uart = open_uart()
    except Exception as error:
        lcd.clear(0)
        lcd.draw_string(4, 4, str(error), 0xFFFF, 0)
        raise
    try:
        while True:
            look(network, uart)
    finally:
        network.stop()


main()
