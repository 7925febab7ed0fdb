"""Loads the fake firmware of a K210 under the real ports, inside MicroPython. Every trap in it is one of the source.

The clock is a number that sleeping advances. `card` says whether there is an SD card.
"""

import sys


class Clock:
    def __init__(self):
        self.now = 1000
        self.on_sleep = []

    def sleep_ms(self, count):
        self.now += count
        for do in self.on_sleep:
            do()

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, a, b):
        return a - b


class Os:
    def __init__(self, card):
        self.card = card

    def listdir(self, path):
        return ["flash", "sd"] if self.card else ["flash"]

    def uname(self):
        return ("MaixPy", "MaixPy", "0.6.3", "v0.6.3-1", "Sipeed_M1 with kendryte-k210")

    def statvfs(self, path):
        assert path == ("/sd" if self.card else "/flash")
        return (512, 512, 100, 40, 40, 0, 0, 0, 0, 128)


clock = Clock()


def firmware():
    """The fake modules take the place of MicroPython's own of these names."""
    import fake_socket

    sys.modules["socket"] = fake_socket
    import machine  # the fake one: this folder stands first on the path
    import network

    return fake_socket, machine, network


def port(kind, card=True):
    firmware()
    from ports import k210, k210_pixels, k210_wifi

    k210.time = k210_wifi.time = clock
    k210.os = Os(card)
    k210_pixels.id = lambda picture: picture.address
    if kind == "maixpy":
        from ports.k210_maixpy import Port
    else:
        from ports.k210_canmv import Port
    return Port()


def raises(kind, call, *arguments):
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError("no " + kind.__name__)
