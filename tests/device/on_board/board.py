"""A board for the tests: the core on a port without hardware. Runs in MicroPython and in CPython.

Environment:
    ROOT      the storage                        FLAT      1: no folders
    PRESSES   "short,long,...", one a round      AWAKE     start of the text after which they begin
    UNTIL     what ends the run: empty, COMMITTED, FAILED, online, pressed, back (from a code that was no good)
    CODE      what the camera sees, one after the other, "|" between
    JPEG      bytes of a picture                 CHUNK, BLOCK   sizes of the port
    LINK      plain; half: loses what has come when it sends; lossy: now and then also the answer
    RENAME    posix, refuse (an existing name), fat (removes it, then renames)
    KILL_AT   the storage operation at which the power goes      FREE   bytes of storage that it says it has
    FIRMWARE  k210: see firmware.py              SPEED     how fast its clock goes
Prints what the display shows, and one line "model <first bytes>" for each model the chip gets.
"""

import os
import sys
import time

try:
    import usocket as socket
except ImportError:
    import socket

getenv = os.getenv
START_MS = time.time() * 1000


def setting(name, default):
    value = getenv(name)
    return value if value else default


class Link:
    """A real TCP connection with the manners of the K210's firmware."""

    sends = 0

    def __init__(self, host, port, kind):
        self.half = kind != "plain"
        self.lossy = kind == "lossy"
        self.sock = socket.socket()
        self.sock.connect(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1])

    def send(self, data):
        data = bytes(data)
        if self.half:
            self.lose()
        while data:
            data = data[self.sock.send(data) :]
        Link.sends += 1
        if self.lossy and Link.sends % 6 == 0:
            time.sleep(0.02)  # the answer comes before the firmware is done with sending
            self.lose()

    def lose(self):
        self.sock.settimeout(0)
        try:
            while self.sock.recv(4096):
                pass
        except OSError:
            pass

    def recv(self, count):
        """Blocks until all `count` bytes came or nothing came for a while: then what there is, b'' too."""
        self.sock.settimeout(0.06)
        data = b""
        try:
            while len(data) < count:
                part = self.sock.recv(count - len(data))
                if not part:
                    break
                data += part
        except OSError:
            pass
        return data

    def close(self):
        self.sock.close()


class Port:
    name = "test"
    board_type = "k210"
    model_format = "kmodel_v3"
    firmware = "test 1.0"

    def __init__(self):
        self.root = getenv("ROOT")
        self.flat = setting("FLAT", "") == "1"
        self.chunk = int(setting("CHUNK", "1920"))
        self.block = int(setting("BLOCK", "1920"))
        self.presses = [press for press in setting("PRESSES", "").split(",") if press]
        self.pictures = 0
        self.awake = False  # nobody presses before the board is past its codes
        self.codes = [code for code in setting("CODE", "").split("|") if code]
        self.model = None

    def capture(self):
        self.pictures += 1
        size = int(setting("JPEG", "5000"))
        body = (str(self.pictures) + "-") * (size // 2)
        return b"\xff\xd8" + body[:size].encode() + b"\xff\xd9", 224, 224

    def frame(self, width, height):
        return bytes(width * height * 3)

    def frame_id(self, frame):
        return "00" * 8

    def golden_frame(self, data, width, height):
        assert len(data) == width * height * 3
        return data

    def load_model(self, path):
        if ".kmodel" not in path:
            raise ValueError("only accept int or string")
        with open(path, "rb") as f:
            self.model = f.read(16)
        print("model", self.model[:8].decode())
        if self.model[8:12] == b"hang":
            power_cut()
        if self.model[8:12] == b"fail":
            raise OSError(2006)

    def unload_model(self):
        self.model = None

    def infer(self, frame):
        """What the tests' chip computes: two numbers out of the model and the input."""
        return [self.model[12] / 16, frame[0] / 8 - 1]

    def button(self):
        return self.presses.pop(0) if self.presses and self.awake else None

    def show(self, text, image=None):
        self.awake = self.awake or text.startswith(setting("AWAKE", "Label"))
        print(text)

    def scan_qr(self):
        return self.codes.pop(0) if self.codes else None

    def wifi(self, ssid, password):
        if password == "wrong":
            raise OSError(1)

    def connect(self, host, port):
        return Link(host, port, setting("LINK", "plain"))

    def unique_id(self):
        return b"test board chip "

    def free(self):
        return int(setting("FREE", "100000000"))

    def reset(self):
        sys.exit(4)

    def ticks_ms(self):
        speed = int(setting("SPEED", "1"))
        return int(time.time() * 1000 - START_MS) * speed

    def ticks_diff(self, a, b):
        return a - b

    def sleep_ms(self, count):
        time.sleep(count / 1000 / int(setting("SPEED", "1")))

    def feed(self):
        pass


# --- storage that loses power


def power_cut():
    os.system("kill -9 $PPID")
    time.sleep(10)


class Fuse:
    """Counts what happens to the storage and cuts the power at one of them."""

    def __init__(self):
        self.left = int(setting("KILL_AT", "0"))

    def burn(self):
        self.left -= 1
        if self.left == 0:
            power_cut()


class FusedFile:
    def __init__(self, f, fuse):
        self.f = f
        self.fuse = fuse

    def write(self, data):
        if self.fuse.left == 1:
            self.f.write(bytes(data)[: len(data) // 2])
            self.f.flush()
        self.fuse.burn()
        return self.f.write(data)

    def flush(self):
        self.f.flush()

    def read(self, *size):
        return self.f.read(*size)

    def seek(self, at):
        return self.f.seek(at)

    def fileno(self):
        return self.f.fileno()

    def close(self):
        self.f.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class FusedOs:
    """`os` of the storage module, with the habits of a firmware and the fuse."""

    def __init__(self, fuse):
        self.fuse = fuse
        self.kind = setting("RENAME", "posix")
        self.listdir = os.listdir
        self.stat = os.stat
        self.ilistdir = getattr(os, "ilistdir", None) or os.listdir

    def mkdir(self, path):
        self.fuse.burn()
        os.mkdir(path)

    def remove(self, path):
        os.stat(path)
        self.fuse.burn()
        os.remove(path)

    def rename(self, old, new):
        self.fuse.burn()
        if self.kind != "posix":
            try:
                os.stat(new)
            except OSError:
                pass
            else:
                if self.kind == "refuse":
                    raise OSError(17)
                os.remove(new)
                self.fuse.burn()
        os.rename(old, new)
        self.fuse.burn()


def fuse_storage():
    from boardloop import storage

    fuse = Fuse()

    def fused_open(path, mode="rb"):
        return FusedFile(open(path, mode), fuse)

    storage.os = FusedOs(fuse)
    storage.open = fused_open


def done(app, until):
    if until == "pressed":
        return not app.port.presses
    if not app.link.ready:
        return False
    if until == "empty":
        return not app.port.presses and not app.outbox.waiting
    if until == "online":
        return True
    if until == "back":
        return not app.port.presses and not app.port.codes and app.identity.paired
    if until in ("COMMITTED", "FAILED"):
        return app.update.status()[1] == until and not app.port.presses and not app.update.exclusive
    return False


def main():
    if setting("FIRMWARE", "") == "k210":
        import firmware

        firmware.install()
    fuse_storage()
    from boardloop.app import App

    app = App(Port())
    until = setting("UNTIL", "empty")
    while not done(app, until):
        app.step()
    app.report()
    while app.link.poll():  # closing a socket with unread data in it would take back what was sent
        pass
    app.link.drop()
    print("done")


main()
