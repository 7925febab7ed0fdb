"""What the camera sees and where, on the display and on UART1, for a K210 with MaixPy-v1 or CanMV firmware.

Made by Boardloop. Copy all files of the archive to the top folder of an SD card, put it into the board and switch on.
Never run on hardware by its makers: it was run in MicroPython over stand-ins of the firmware's modules.

UART1 (TX on IO 10, RX on IO 11, 115200 8N1) puts out one line a picture with finds, in pixels of the window:
x:y:w:h:index:probability:label, x:y:w:h:index:probability:label, ...
"""

import gc
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
INPUT = (224, 224)
WINDOW = (224, 224)
ANCHORS = (1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0)
# ---
THRESHOLD = 0.5  # finds below this probability are left out
OVERLAP = 0.3  # of two finds of a label that overlap by more, the better one stays
UART_TX, UART_RX, BAUD = 10, 11, 115200  # UART_TX = None: no output there
MIRROR = 0  # 1: for a camera that looks at you
CELL = 32  # px of the input in a cell of the network's map
RED = (255, 0, 0)


class MaixPy:
    def __init__(self, path):
        self.task = KPU.load(path)  # the path must have ".kmodel" in it
        KPU.init_yolo2(self.task, THRESHOLD, OVERLAP, len(ANCHORS) // 2, ANCHORS)

    def finds(self, picture):
        """[(x, y, w, h, index, probability)] in pixels of the input; at most ten."""
        found = KPU.run_yolo2(self.task, picture) or ()  # None when there is nothing
        return [(one.x(), one.y(), one.w(), one.h(), one.classid(), one.value()) for one in found]

    def stop(self):
        KPU.deinit(self.task)


class CanMV:
    def __init__(self, path):
        width, height = INPUT
        self.kpu = CanmvKPU()
        self.kpu.load_kmodel(path)
        self.kpu.init_yolo2(
            ANCHORS,
            anchor_num=len(ANCHORS) // 2,
            img_w=width,
            img_h=height,
            net_w=width,
            net_h=height,
            layer_w=width // CELL,
            layer_h=height // CELL,
            threshold=THRESHOLD,
            nms_value=OVERLAP,
            classes=len(LABELS),
        )

    def finds(self, picture):
        self.kpu.run_with_output(picture)
        return self.kpu.regionlayer_yolo2()

    def stop(self):
        self.kpu.deinit()


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


def in_window(x, y, w, h):
    """A box of the input in pixels of the window."""
    across, down = WINDOW[0] / INPUT[0], WINDOW[1] / INPUT[1]
    return int(x * across), int(y * down), int(w * across), int(h * down)


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
    told = []
    for x, y, w, h, index, chance in network.finds(for_network(picture)):
        x, y, w, h = in_window(x, y, w, h)
        told.append("%d:%d:%d:%d:%d:%.4f:%s" % (x, y, w, h, index, chance, LABELS[index]))
        picture.draw_rectangle(x, y, w, h, color=RED)
        # the display's font has no signs beyond ASCII: NAMES has "#0" for such a label, and its number
        picture.draw_string(x + 2, y + 2, "%s %d%%" % (NAMES[index], round(100 * chance)), color=RED)
    if uart and told:
        uart.write((", ".join(told) + "\n").encode())
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
