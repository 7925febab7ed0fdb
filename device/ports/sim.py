"""The port of the virtual board: the camera, the keys, the display and the KPU are served by the host.

The host is `services/virtualboard` on a computer. One TCP connection leads there, and both directions use one frame:

    +-------------+-------------+------ - - ------+------ - - ------+
    | JSON length | blob length | JSON, UTF-8     | blob            |
    | u32 BE      | u32 BE      |                 | bytes           |
    +-------------+-------------+------ - - ------+------ - - ------+

The board asks `{"do": "capture"}` and gets one answer, `{"error": "OSError", "text": ...}` when it failed. Only `show`,
`pressed` and `reset` have no answer. The host sends `{"event": "press", "kind": "short", "number": 3}` at any time; the
board says `pressed` with that number when `button()` hands it to the application. A press that was not taken is sent
again after a restart, so none is lost. A press also ends one `sleep_ms` or one waiting `recv` early.

Storage and the MQTT connection are this process's own: a real folder and a real TCP socket.
"""

try:
    import ujson as json
except ImportError:
    import json
import gc
import select
import socket
import struct
import sys
import time

TIMEOUT_MS = 1000  # of a link's recv, as on the K210 (whole seconds there)
CONNECT_S = 5
ERRORS = {"OSError": OSError, "ValueError": ValueError, "MemoryError": MemoryError}


def address(host, port):
    """What socket.connect takes: MicroPython wants the packed form that getaddrinfo gives."""
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]


def at_once(sock):
    """No waiting for the other side's acknowledgement (40 ms) before the next small packet leaves."""
    sock.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY: MicroPython has no names for them


class Host:
    """The connection to the peripherals: one request at a time, presses in between are kept."""

    def __init__(self, host, port, token):
        self.presses = []
        self.fresh = False  # a press came and the application has not had the chance to ask
        self.sock = socket.socket()
        self.sock.connect(address(host, port))
        at_once(self.sock)
        self.poll = select.poll()
        self.poll.register(self.sock, select.POLLIN)
        self.about, _ = self.ask("hello", token=token)

    def tell(self, do, blob=b"", **fields):
        fields["do"] = do
        head = json.dumps(fields).encode()
        send_all(self.sock, struct.pack(">II", len(head), len(blob)) + head)
        if blob:
            send_all(self.sock, blob)

    def ask(self, do, blob=b"", **fields):
        """The answer and its blob. Raises what the host named: OSError, ValueError or MemoryError."""
        self.tell(do, blob, **fields)
        while True:
            answer, data = self.read()
            if "event" not in answer:
                break
            self.queue(answer)
        if "error" in answer:
            raise ERRORS.get(answer["error"], OSError)(answer["text"])
        return answer, data

    def read(self):
        head, blob = struct.unpack(">II", self.exactly(8))
        return json.loads(self.exactly(head)), self.exactly(blob)

    def exactly(self, count):
        data = bytearray(count)
        view = memoryview(data)
        got = 0
        while got < count:
            part = self.sock.recv(count - got)
            if not part:
                print("the host of the peripherals is gone")
                sys.exit(3)
            view[got : got + len(part)] = part
            got += len(part)
        return data

    def queue(self, press):
        self.presses.append(press)
        self.fresh = True

    def listen(self, wait_ms):
        """Takes in presses that have come; waits up to `wait_ms` for the first one. True when one came."""
        came = False
        while self.poll.poll(wait_ms):
            self.queue(self.read()[0])
            came = True
            wait_ms = 0
        return came


def send_all(sock, data):
    view = memoryview(data)
    while len(view):
        view = view[sock.send(view) :]


class Link:
    """A TCP connection. `half_duplex` gives it the manners of an ESP8285 (MaixPy, modesp8285.c).

    There, send throws away what has come in and was not read, and recv gives b'' on a time-out and at the end alike.
    """

    def __init__(self, sock, host, half_duplex):
        self.sock = sock
        self.host = host
        self.half_duplex = half_duplex
        self.own = select.poll()
        self.own.register(sock, select.POLLIN)
        self.both = select.poll()
        self.both.register(sock, select.POLLIN)
        self.both.register(host.sock, select.POLLIN)

    def send(self, data):
        while self.half_duplex and self.own.poll(0):
            if not self.sock.recv(4096):
                break
        send_all(self.sock, data)

    def recv(self, count):
        if not self.own.poll(0):
            if not self.host.fresh:
                self.both.poll(TIMEOUT_MS)
            if not self.own.poll(0):
                self.host.listen(0)
                self.host.fresh = False
                return b""
        data = self.sock.recv(count)
        if not data and not self.half_duplex:
            raise OSError("closed by the other side")
        return data

    def close(self):
        self.sock.close()


class Port:
    """A board whose hardware is a program. `peripherals` "host:port", `token` and `root` come from main.py."""

    name = "sim"
    flat = False

    def __init__(self, peripherals, token, root):
        host, port = peripherals.split(":")
        self.root = root
        self.host = Host(host, int(port), token)
        about = self.host.about
        self.board_type = about["board_type"]
        self.model_format = about["model_format"]
        self.firmware = about["firmware"]
        self.chunk = about["chunk"]
        self.block = about["block"]

    def capture(self):
        gc.collect()
        answer, jpeg = self.host.ask("capture")
        return jpeg, answer["width"], answer["height"]

    def frame(self, width, height):
        """A frame is (number, id): the pixels stay with the host, as they stay in the K210's AI buffer."""
        answer, _ = self.host.ask("frame", width=width, height=height)
        return answer["number"], answer["id"]

    def frame_id(self, frame):
        return frame[1]

    def golden_frame(self, data, width, height):
        answer, _ = self.host.ask("golden_frame", data, width=width, height=height)
        return answer["number"], answer["id"]

    def load_model(self, path):
        self.host.ask("load_model", path=path)

    def unload_model(self):
        self.host.ask("unload_model")

    def infer(self, frame):
        answer, _ = self.host.ask("infer", number=frame[0])
        return answer["outputs"]

    def button(self):
        self.host.listen(0)
        self.host.fresh = False
        if not self.host.presses:
            return None
        press = self.host.presses.pop(0)
        self.host.tell("pressed", number=press["number"])
        return press["kind"]

    def show(self, text, image=None):
        self.host.tell("show", text=text)

    def scan_qr(self):
        return self.host.ask("scan_qr")[0]["text"]

    def wifi(self, ssid, password):
        self.host.ask("wifi", ssid=ssid, password=password)

    def connect(self, host, port):
        way, _ = self.host.ask("route", host=host, port=port)
        sock = socket.socket()
        try:
            sock.settimeout(CONNECT_S)
            sock.connect(address(way["host"], way["port"]))
            at_once(sock)
        except OSError:
            sock.close()
            raise
        return Link(sock, self.host, way["half_duplex"])

    def unique_id(self):
        return bytes(self.host.ask("unique_id")[1])

    def free(self):
        return self.host.ask("free")[0]["bytes"]

    def reset(self):
        """The host starts the process again when it ends with this status."""
        self.host.tell("reset")
        sys.exit(4)

    def ticks_ms(self):
        return time.ticks_ms() if hasattr(time, "ticks_ms") else int(time.monotonic() * 1000)

    def ticks_diff(self, a, b):
        return time.ticks_diff(a, b) if hasattr(time, "ticks_diff") else a - b

    def sleep_ms(self, count):
        if not self.host.presses:
            self.host.listen(count)

    def feed(self):
        pass
