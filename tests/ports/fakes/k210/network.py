"""The two modules. `air` is what is heard: {name: password} as an AT parser or the ESP32 would understand it."""

air = {"home": "secret"}
joined = []


def at_argument(text):
    """What the AT parser makes of the text between two quotes: an unescaped quote or comma ends the command."""
    out = ""
    signs = iter(text)
    for sign in signs:
        if sign == "\\":
            out += next(signs)
        elif sign in '",':
            raise OSError("ERROR")
        else:
            out += sign
    return out


class ESP8285:
    def __init__(self, uart):
        if uart.baud != 921600 or uart.buffer < 10240:
            raise OSError("couldn't init nic esp8285 ,try again please\n")
        self.flag = False

    def connect(self, ssid, key):
        """The software flag stays set after a failure, as it does after a loss."""
        name, password = at_argument(ssid), at_argument(key)
        if air.get(name) != password:
            raise OSError(f"could not connect to ssid={ssid}\n")
        self.flag = True
        joined.append(name)

    def isconnected(self):
        return self.flag


class ESP32_SPI:
    def __init__(self, cs, rst, rdy, spi):
        assert spi == 1
        self.up = False

    def connect(self, ssid, key):
        self.up = air.get(ssid) == key
        if self.up:
            joined.append(ssid)

    def isconnected(self):
        return self.up
