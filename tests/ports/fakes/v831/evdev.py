"""evdev.InputDevice: the kernel's events, with its times."""

waiting = []


class Event:
    def __init__(self, seconds, code, value):
        self.seconds, self.code, self.value = seconds, code, value

    def timestamp(self):
        return self.seconds


class InputDevice:
    def __init__(self, path):
        assert path == "/dev/input/event0"

    def read_one(self):
        return waiting.pop(0) if waiting else None
