"""socket over an ESP8285: `far` is the other side. What came in and was not read is lost by a send."""

far = {
    "sent": [],
    "incoming": bytearray(),
    "most": 2048,
    "connected": None,
    "closed": 0,
    "dead": False,
    "looked_up": [],
}


class socket:
    def __init__(self):
        self.timeout = 10
        self.connected = False

    def settimeout(self, seconds):
        """The ESP32's driver makes milliseconds of whole seconds: 0.5 becomes 0, and 0 loses its place."""
        if seconds is None:
            raise TypeError("can't convert NoneType to float")
        assert int(seconds) >= 1, "a fraction of a second"
        self.timeout = seconds

    def connect(self, address):
        if address[0] != "10.0.0.2":
            raise OSError(-1)
        far["connected"] = address
        self.connected = True

    def send(self, data):
        if far["dead"]:
            raise OSError(32)
        far["incoming"][:] = b""
        part = bytes(data[: far["most"]])
        assert len(data) <= 2048
        far["sent"].append(part)
        return len(part)

    def recv(self, count):
        assert self.timeout == 1, "a button press would wait as long"
        if not far["incoming"]:
            if far["dead"]:
                raise OSError(128)
            return b""
        part = bytes(far["incoming"][:count])
        far["incoming"][:] = far["incoming"][count:]
        return part

    def close(self):
        assert self.connected, "closed before connected: leaks"
        far["closed"] += 1


def getaddrinfo(name, port):
    """Asks the module's DNS, which knows names only."""
    far["looked_up"].append(name)
    if name.replace(".", "").isdigit():
        raise OSError(22)
    return [(2, 1, 0, "", ("10.0.0.2", port))]
