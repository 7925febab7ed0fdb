"""The signed manifest of a release (docs/protocol.md section 7): read it, and say why this board must not take it."""

try:
    import ujson as json
except ImportError:
    import json

from boardloop.crypto import unhex

LARGEST_MANIFEST = 16384
# One hash of the K210's SHA-256 block counts 65,535 blocks of 64 bytes, padding included (facts of the firmware).
K210_LARGEST_HASH = 65535 * 64 - 9


def _count(number, low=0):
    if not isinstance(number, int) or isinstance(number, bool) or number < low:
        raise ValueError("number")
    return number


class Manifest:
    """The fields the board uses, checked. Raises ValueError for anything that is not a manifest."""

    def __init__(self, data):
        try:
            self._read(json.loads(data.decode()))
        except (KeyError, TypeError, AttributeError, UnicodeError):
            raise ValueError("manifest")

    def _read(self, m):
        self.release = m["release"]
        unhex(self.release, 16)
        self.board_type = m["board_type"]
        self.format = m["format"]
        self.counter = _count(m["counter"], 1)
        self.expires = _count(m["expires"])
        self.labels = [label + "" for label in m["labels"]]
        self.head = m["head"] + ""
        self.width = _count(m["input"]["width"], 1)
        self.height = _count(m["input"]["height"], 1)
        channels = _count(m["input"]["channels"], 1)
        payload, model, golden = m["payload"], m["model"], m["golden"]
        self.payload_size = _count(payload["size"], 16)
        self.payload_hash = unhex(payload["sha256"], 32)
        self.iv = unhex(payload["iv"], 16)
        self.model_size = _count(model["size"], 1)
        self.model_hash = unhex(model["sha256"], 32)
        self.golden_size = _count(golden["size"], 1)
        self.golden_hash = unhex(golden["sha256"], 32)
        self.golden_count = _count(golden["count"], 1)
        self.outputs = golden["outputs"]
        self.tolerance = golden["tolerance"] + 0.0
        self.input_size = self.width * self.height * channels
        self._check()

    def _check(self):
        plain = self.model_size + self.golden_size
        if self.payload_size != plain - plain % 16 + 16:
            raise ValueError("payload size")
        if self.golden_size != self.golden_count * self.input_size or len(self.outputs) != self.golden_count:
            raise ValueError("golden size")
        for output in self.outputs:
            if not output:
                raise ValueError("golden outputs")
            for value in output:
                value + 0.0  # noqa: B018 - a TypeError says that it is no number

    def refusal(self, port, release, payload_size, counter, now):
        """Why this board must not take it, a reason of section 7, or "".

        `counter`: the security counter of the committed release; `now`: the server's time.
        """
        if self.release != release or self.payload_size != payload_size:
            return "BAD_MANIFEST"
        if port.board_type == "k210" and self.payload_size > K210_LARGEST_HASH:
            return "BAD_MANIFEST"
        if self.board_type != port.board_type:
            return "WRONG_BOARD_TYPE"
        if self.format != port.model_format:
            return "WRONG_FORMAT"
        if self.counter <= counter:
            return "ROLLBACK"
        if self.expires and now >= self.expires:
            return "EXPIRED"
        return ""

    def fits(self, number, output):
        """Is `output` what the chip's simulator gave for golden input `number`? A NaN never is."""
        expected = self.outputs[number]
        if len(output) != len(expected):
            return False
        for i in range(len(expected)):
            if not abs(output[i] - expected[i]) <= self.tolerance:
                return False
        return True
