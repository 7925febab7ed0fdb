"""The one key: how long it was pressed says what is meant. The same habit as the K210's capture_image_tool."""

LONG_MS = 2000
HOLD_MS = 5000
DEBOUNCE_MS = 30  # capture_image_tool and self_learn_classifier use the same


def kind_of(ms):
    """What a press of `ms` milliseconds means."""
    if ms < LONG_MS:
        return "short"
    return "long" if ms <= HOLD_MS else "hold"


class PinButton:
    """A key on a pin, pressed = 0. `edge()` is called at each falling edge, `poll()` by the main loop.

    The firmware runs `edge` between two bytecodes: while the program waits for the network (1 s at most) it comes late,
    perhaps after the key was let go. A press that short is still seen, as "short"; a longer one is measured to 1 s.
    """

    def __init__(self, value, ticks_ms, ticks_diff):
        self.value = value
        self.ticks_ms = ticks_ms
        self.diff = ticks_diff
        self.down_at = None
        self.up_at = None  # bounces of the release come within DEBOUNCE_MS after it

    def edge(self, pin=None):
        now = self.ticks_ms()
        bounce = self.up_at is not None and self.diff(now, self.up_at) < DEBOUNCE_MS
        if self.down_at is None and not bounce:
            self.down_at = now

    def poll(self):
        """None, or the kind of the press that has ended."""
        pressed = self.value() == 0
        if self.down_at is None:
            if pressed:  # its edge was lost: the firmware's queue holds four
                self.edge()
            return None
        length = self.diff(self.ticks_ms(), self.down_at)
        if pressed or length < DEBOUNCE_MS:
            return None
        self.down_at = None
        self.up_at = self.ticks_ms()
        return kind_of(length)
