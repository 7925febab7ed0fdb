"""A release and a power cut at every operation on the storage: the model is the old one or the new one, whole.

Everything is in this process: the card, a broker and a server that speak the bytes of tests/golden. So a few hundred
boots take seconds.
"""

import json
import os
import struct

from card import Card, PowerCut, insert
from golden_files import index, read

from boardloop import frames, mqtt
from boardloop.crypto import unhex

RELEASE = index["release"]
SECRET = index["keys"]["paired"]["secret"]
MODEL = unhex(RELEASE["model"], len(RELEASE["model"]) // 2)
PARTS = [read(RELEASE[part]) for part in ("manifest", "signature", "payload")]
OUTPUTS = json.loads(PARTS[0].decode())["golden"]["outputs"]


class DownKeys:
    """frames.seal with the server's keys."""

    def __init__(self, keys):
        self.up_enc, self.up_mac, self.up_iv = keys.down_enc, keys.down_mac, keys.up_iv


class UpKeys:
    def __init__(self, keys):
        self.down_enc, self.down_mac = keys.up_enc, keys.up_mac


class Server:
    """Broker and deployer at the other end of a link: answers each packet at once."""

    def __init__(self, clock):
        self.clock = clock
        self.keys = frames.Keys(unhex(SECRET, 16))
        self.down, self.up = DownKeys(self.keys), UpKeys(self.keys)
        self.out = b""
        self.session = 0
        self.states = []

    def publish(self, word, kind, plaintext):
        frame = frames.seal(kind, 0, 0, plaintext, self.down)
        topic = ("bl/x/down/" + word).encode()
        self.out += bytes(mqtt.packet(0x30, struct.pack(">H", len(topic)), topic, frame))

    def send(self, data):
        kind = data[0] >> 4
        if kind == 1:
            self.out += b"\x20\x02\x00\x00"
        elif kind == 8:
            self.out += b"\x90\x03\x00\x01\x00"
            sizes = [len(part) for part in PARTS]
            desired = {"release": RELEASE["id"], "wrap": RELEASE["wrapped"], "sizes": sizes}
            self.publish("desired", frames.DESIRED, json.dumps(desired).encode())
        elif kind == 3:
            at = 2 if data[1] < 128 else 3
            topic, payload = mqtt.parse_publish(bytes(data[at:]))
            if not topic.endswith("/state"):
                self.take(frames.unseal(payload, self.up))

    def take(self, frame):
        kind, plaintext = frame[0], frame[3]
        if kind == frames.HELLO:
            self.session += 1
            nonce = json.loads(plaintext.decode())["nonce"]
            welcome = {"nonce": nonce, "session": self.session, "time": 1795000000, "block": 64}
            self.publish("welcome", frames.WELCOME, json.dumps(welcome).encode())
        elif kind == frames.PULL:
            part, offset, length = struct.unpack(">BII", plaintext[16:])
            self.publish("block", frames.BLOCK, plaintext[:21] + PARTS[part][offset : offset + length])
        elif kind == frames.REPORT:
            self.states.append(json.loads(plaintext.decode())["state"])

    def recv(self, count):
        if not self.out:
            self.clock[0] += 1000
        data, self.out = self.out[:count], self.out[count:]
        return data

    def close(self):
        self.out = b""


class Port:
    board_type, model_format, firmware = "k210", "kmodel_v3", "test"
    root, flat, chunk, block = "/card", False, 1920, 64

    def __init__(self, card):
        self.card = card
        self.clock = [0]
        self.server = Server(self.clock)
        self.loads = 0

    def load_model(self, path):
        if self.card.files[path] != MODEL:
            raise SystemExit("an unverified model reached the chip")
        self.loads += 1

    def unload_model(self):
        pass

    def golden_frame(self, data, width, height):
        return 0 if data[0] == 0 else 1

    def infer(self, frame):
        return OUTPUTS[frame]

    def button(self):
        return None

    def show(self, text, image=None):
        pass

    def connect(self, host, port):
        self.server.out = b""
        return self.server

    def unique_id(self):
        return b"chip"

    def free(self):
        return 10000000

    def ticks_ms(self):
        self.clock[0] += 1
        return self.clock[0]

    def ticks_diff(self, a, b):
        return a - b

    def sleep_ms(self, count):
        self.clock[0] += count

    def feed(self):
        pass


def boot(card):
    """Run the board until its release is settled -> (state, reason), or None when the power went."""
    from boardloop.app import App

    insert(card)
    try:
        app = App(Port(card))
        for _ in range(400):
            app.step()
            if app.link.ready and app.update.status()[1] in ("COMMITTED", "FAILED"):
                return app.update.status()[1:]
    except PowerCut:
        return None
    raise AssertionError("neither committed nor failed")


def new_card(kind):
    card = Card(kind)
    identity = {"host": "h", "port": 1, "board": "x", "secret": SECRET, "paired": True, "signer": RELEASE["signer"]}
    card.files["/card/boardloop.json"] = json.dumps(identity).encode()
    return card


def stored_state(card):
    return json.loads(card.files.get("/card/update.json", b"{}").decode() or "{}").get("state", "")


def check(kind, cuts):
    """`cuts`: at which operation of the first, second, ... boot the power goes -> how many of them it did go."""
    card = new_card(kind)
    went = 0
    tried = False
    for cut in cuts:
        card.left = cut
        if boot(card) is not None:
            break
        went += 1
        card.left = 0
        tried = tried or b"TRYING" in card.files.get("/card/update.json", b"") + card.files.get(
            "/card/update.json.new", b""
        )
    card.left = 0
    state, reason = boot(card)
    if state == "FAILED":
        assert tried and reason == "LOAD_FAILED", (kind, cuts, reason)
        assert not [name for name in card.files if "/slot-" in name]
    else:
        pointer = json.loads(card.files["/card/release.json"].decode())
        assert pointer["release"] == RELEASE["id"] and pointer["counter"] == 4
        slot = "/card/slot-" + pointer["slot"] + "/"
        assert card.files[slot + "model.kmodel"] == MODEL
        names = sorted([name for name in card.files if "/slot-" in name])
        assert names == [slot + name for name in ("manifest.bin", "model.kmodel", "signature.bin")], (cuts, names)
        assert "/card/update.json" not in card.files
    return went, state


def main():
    for kind in os.getenv("KINDS").split(","):
        cut = 1
        states = []
        while True:
            went, state = check(kind, (cut,))
            if not went:
                break
            states.append(state)
            check(kind, (cut, 1 + cut * 7 % 23, 1 + cut * 5 % 31))
            cut += 1
        assert len(states) > 40, len(states)
        failed = states.count("FAILED")
        assert 0 < failed < 8, failed  # only while TRYING
    print("always a whole model")


main()
