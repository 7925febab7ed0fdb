"""Milliseconds since boot that never wrap, and the server's time, both whole numbers.

The K210 calculates with 32-bit floats, which hold today's seconds only to two minutes; its `ticks_ms` wraps; its real
time clock starts at 2000.
"""


class Clock:
    def __init__(self, port):
        self._port = port
        self._last = port.ticks_ms()
        self._ms = 0
        self._server = 0
        self._at = 0

    def now(self):
        """Milliseconds since boot. To be called at least once in a day or so."""
        ticks = self._port.ticks_ms()
        self._ms += self._port.ticks_diff(ticks, self._last)
        self._last = ticks
        return self._ms

    def set(self, seconds):
        """Take the server's time (seconds since 1970)."""
        self._server = int(seconds)
        self._at = self.now()

    def time(self):
        """Seconds since 1970 by the server's time, 0 = unknown."""
        if not self._server:
            return 0
        return self._server + (self.now() - self._at) // 1000
