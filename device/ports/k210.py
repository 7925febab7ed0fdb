"""What the two K210 firmwares, MaixPy-v1 and CanMV, have in common: camera, display, key, storage, clock, watchdog.

Written from their source and checked against stand-ins of their modules (tests/ports); nothing was run on hardware.
The AI part differs and is in k210_maixpy.py and k210_canmv.py.
"""

import gc
import os
import time

import image
import lcd
import machine
import sensor
from board import board_info
from fpioa_manager import fm

from ports import k210_wifi
from ports.button import PinButton

SIDE = 224  # px: the window captures and frames are taken from, the habit of Sipeed's tools
QUALITY = 90
BOOT_KEY = 16  # IO of the Dock, Bit, Go, Duino
MIRROR_AFTER = 20  # looks for a code without one: then the picture is tried mirrored
WATCHDOG_MS = 60000  # joining a WiFi takes up to 15 s, checking a signature several
WHITE, BLACK = 0xFFFF, 0
LINE = 18  # px between two lines of text
COLUMNS = 26  # of 8 px at 240 px with a margin


class K210Port:
    board_type = "k210"
    model_format = "kmodel_v3"
    chunk = 1920  # bytes: the frame around it still fits one 2,048-byte AT send
    block = 1920

    def __init__(self, GPIO):
        on_card = "sd" in os.listdir("/")
        self.volume = "/sd" if on_card else "/flash"
        self.root = "/sd/boardloop-data" if on_card else "/flash"
        self.flat = not on_card  # SPIFFS has no folders
        self.firmware = " ".join(os.uname()[2:4])
        self.watchdog = None
        self.looks = 0
        self.mirrored = 0
        self.can_scan = hasattr(image.Image, "find_qrcodes")  # not on the minimum builds
        lcd.init()
        self.start_camera()
        self.wireless = k210_wifi.wifi_of(board_info, fm, GPIO)
        fm.register(getattr(board_info, "BOOT_KEY", BOOT_KEY), fm.fpioa.GPIOHS21, force=True)
        self.pin = GPIO(GPIO.GPIOHS21, GPIO.IN, GPIO.PULL_UP)
        self.key = PinButton(self.pin.value, self.ticks_ms, self.ticks_diff)
        self.pin.irq(self.key.edge, GPIO.IRQ_FALLING, GPIO.WAKEUP_NOT_SUPPORT, 7)

    # --- camera

    def start_camera(self):
        try:
            sensor.reset()
            sensor.set_pixformat(sensor.RGB565)
            sensor.set_framesize(sensor.QVGA)
            sensor.set_windowing((SIDE, SIDE))
            sensor.set_hmirror(self.mirrored)
            sensor.run(1)
            sensor.skip_frames(time=500)
        except RuntimeError as error:
            raise OSError("camera: %s" % error)

    def snapshot(self):
        """One picture; the camera is started again once when it gives none."""
        try:
            return sensor.snapshot()
        except RuntimeError:
            self.start_camera()
        try:
            return sensor.snapshot()
        except RuntimeError as error:
            raise OSError("camera: %s" % error)

    def capture(self):
        gc.collect()
        picture = self.snapshot()
        lcd.display(picture)  # before compress: that turns the picture itself into a JPEG
        try:
            picture.compress(quality=QUALITY)
            jpeg = bytes(picture.to_bytes())  # a copy: to_bytes is the camera's own memory
        except MemoryError:
            raise OSError("no memory for a JPEG (700 KiB in one piece)")
        return jpeg, SIDE, SIDE

    def frame(self, width, height):
        """The window, resized, in the KPU's planar form. The firmware shrinks by leaving pixels out."""
        gc.collect()
        picture = self.snapshot()
        if (width, height) != (SIDE, SIDE):
            picture = picture.resize(width, height)
            picture.pix_to_ai()
        return picture

    def scan_qr(self):
        """One look. OSError on firmware without find_qrcodes: its codes are read from boardloop.json instead."""
        if not self.can_scan:
            raise OSError("this firmware reads no QR codes")
        picture = self.snapshot()
        lcd.display(picture)
        try:
            codes = picture.find_qrcodes()
        except MemoryError:
            raise OSError("no memory to look for a QR code (700 KiB in one piece)")
        if codes:
            return codes[0].payload()
        self.looks += 1
        if self.looks % MIRROR_AFTER == 0:
            self.mirrored = 1 - self.mirrored
            sensor.set_hmirror(self.mirrored)
        return None

    # --- key and display

    def button(self):
        return self.key.poll()

    def show(self, text, picture=None):
        if picture is None:
            lcd.clear(BLACK)
        else:
            lcd.display(picture)
        y = 4
        for line in text.split("\n"):
            while line:
                lcd.draw_string(4, y, line[:COLUMNS], WHITE, BLACK)
                line = line[COLUMNS:]
                y += LINE

    # --- network

    def wifi(self, ssid, password):
        self.wireless.join(ssid, password)

    def connect(self, host, port):
        return k210_wifi.Link(host, port)

    # --- the board itself

    def unique_id(self):
        return bytes(machine.unique_id())

    def free(self):
        about = os.statvfs(self.volume)
        return about[0] * about[3]

    def reset(self):
        machine.reset()

    def ticks_ms(self):
        return time.ticks_ms()

    def ticks_diff(self, a, b):
        return time.ticks_diff(a, b)

    def sleep_ms(self, count):
        time.sleep_ms(count)

    def feed(self):
        """The watchdog starts with the first feed: what comes before, an installation say, may take its time."""
        if self.watchdog is None:
            self.watchdog = machine.WDT(id=1, timeout=WATCHDOG_MS)
        self.watchdog.feed()
