"""A board in Python: logs in with its own credentials, pairs, pulls a bundle, and checks it with its own arithmetic.

Keys and frames come from services.common (tested against the golden bytes); nothing of services.deployer is used here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import secrets
import struct
import threading
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from paho.mqtt.enums import CallbackAPIVersion

from services.common import topics
from services.common.frames import Kind, open_frame, seal_uplink
from services.common.keys import BoardKeys, PairingCode, renew_secret

PATIENCE = 10.0  # seconds for an answer; only a failing test waits so long
SILENCE = 0.4  # seconds in which nothing may come


@dataclass
class Answer:
    kind: Kind
    plaintext: bytes
    session: int
    sequence: int

    @property
    def body(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.plaintext)
        return made


class Board:
    """What a board has stored (id, secret, signer) and its connection."""

    def __init__(self, code: str, port: int, hardware: str = "00112233aabbccdd", board_type: str = "k210") -> None:
        made = PairingCode.decode(code)
        self.id, self.port = made.board_id, port
        self.secret, self.paired, self.signer = made.secret, False, ""
        self.hardware, self.type = hardware, board_type
        self.release, self.counter = "", 0
        self.session, self.sequence = 0, 0
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.desired: queue.Queue[dict[str, Any]] = queue.Queue()
        self.refused: queue.Queue[str] = queue.Queue()
        self.cut = threading.Event()
        self._client: paho.Client | None = None

    @property
    def keys(self) -> BoardKeys:
        return BoardKeys.derive(self.secret)

    @property
    def username(self) -> str:
        return self.id if self.paired else f"{self.id}.pair"

    # ------------------------------------------------------------------ connection

    def connect(self) -> int:
        """0 = welcome and subscribed; else the refusal, 134 or 135 in MQTT 5 numbers (bad login, not authorised)."""
        self.disconnect()
        self.cut.clear()
        self.answers, self.desired = queue.Queue(), queue.Queue()
        answered: queue.Queue[int] = queue.Queue()
        subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, self.username, True, reconnect_on_failure=False)
        client.username_pw_set(self.username, self.keys.mqtt_password)
        client.will_set(topics.state(self.id), b'{"online": false}', 0, True)
        client.on_connect = lambda *event: answered.put(event[3].value)
        client.on_subscribe = lambda *event: subscribed.set()
        client.on_disconnect = lambda *event: self.cut.set()
        client.on_message = lambda client, data, message: self._take(message.topic, bytes(message.payload))
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        self._client = client
        code = answered.get(timeout=PATIENCE)
        if code == 0:
            client.subscribe(f"bl/{self.id}/down/#")
            assert subscribed.wait(PATIENCE)
            client.publish(topics.state(self.id), b'{"online": true}', 0, True)
        else:
            self.disconnect()
        return code

    def disconnect(self) -> None:
        """Goodbye: the broker does not send the last will."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def drop(self) -> None:
        """The link breaks: the broker sends the last will."""
        assert self._client is not None
        self._client.socket().close()  # type: ignore[union-attr]
        self._client.loop_stop()
        self._client = None

    def _take(self, topic: str, payload: bytes) -> None:
        if topic == topics.refused(self.id):
            self.refused.put(json.loads(payload)["reason"])
            return
        if not payload:
            return  # a retained message that was cleared
        try:
            frame = open_frame(payload, self.keys.down_enc, self.keys.down_mac, uplink=False)
        except Exception:  # of an older pairing, say; a board leaves it alone
            return
        if frame.kind is Kind.DESIRED:
            self.desired.put(json.loads(frame.plaintext))
        else:
            self.answers.put(Answer(frame.kind, frame.plaintext, frame.session, frame.sequence))

    def publish_raw(self, kind: Kind, payload: bytes) -> None:
        assert self._client is not None
        self._client.publish(topics.up(self.id, kind), payload)

    def send(self, kind: Kind, plaintext: bytes) -> None:
        """Sealed and counted."""
        self.sequence += 1
        self.publish_raw(kind, seal_uplink(kind, self.session, self.sequence, plaintext, self.keys))

    def send_json(self, kind: Kind, body: dict[str, Any]) -> None:
        self.send(kind, json.dumps(body).encode())

    def answer(self, kind: Kind) -> Answer:
        """The next answer, which must be of this kind."""
        got = self.answers.get(timeout=PATIENCE)
        assert got.kind is kind, (got.kind.name, got.plaintext[:200])
        return got

    def silent(self) -> bool:
        try:
            self.answers.get(timeout=SILENCE)
        except queue.Empty:
            return True
        return False

    # ------------------------------------------------------------------ protocol

    def hello_body(self, nonce: str) -> dict[str, Any]:
        return {
            "nonce": nonce,
            "hardware": self.hardware,
            "type": self.type,
            "firmware": "test 1.0",
            "core": "0.1.0",
            "release": self.release,
            "counter": self.counter,
        }

    def say_hello(self, nonce: str = "") -> str:
        nonce = nonce or secrets.token_hex(16)
        body = json.dumps(self.hello_body(nonce)).encode()
        self.publish_raw(Kind.HELLO, seal_uplink(Kind.HELLO, 0, 0, body, self.keys))
        return nonce

    def hello(self) -> dict[str, Any]:
        """HELLO and its WELCOME; takes the session."""
        nonce = self.say_hello()
        welcome = self.answer(Kind.WELCOME).body
        assert welcome["nonce"] == nonce
        self.session, self.sequence = welcome["session"], 0
        return welcome

    def store(self, welcome: dict[str, Any]) -> None:
        """The board's own secret from the answer to its HELLO under P."""
        nonces = bytes.fromhex(welcome["nonce"]), bytes.fromhex(welcome["renew"])
        self.secret, self.signer, self.paired = renew_secret(self.secret, *nonces), welcome["signer"], True

    def pair(self) -> Board:
        assert self.connect() == 0
        self.store(self.hello())
        self.disconnect()
        assert self.connect() == 0
        self.hello()
        return self

    def report(self, state: str = "", release: str = "", reason: str = "", outbox: int = 0) -> None:
        body = {"release": release, "state": state, "reason": reason, "outbox": outbox, "rejected": 0, "free": 1000}
        self.send_json(Kind.REPORT, body)

    def pull(self, release: str, part: int, offset: int, length: int) -> Answer:
        self.send(Kind.PULL, bytes.fromhex(release) + struct.pack(">BII", part, offset, length))
        return self.answers.get(timeout=PATIENCE)

    def pull_part(self, release: str, part: int, size: int, block: int = 2048) -> bytes:
        data = b""
        while len(data) < size:
            answer = self.pull(release, part, len(data), block)
            assert answer.kind is Kind.BLOCK, answer.plaintext
            head = bytes.fromhex(release) + struct.pack(">BI", part, len(data))
            assert answer.plaintext[:21] == head and answer.sequence == self.sequence
            data += answer.plaintext[21:]
        assert len(data) == size
        return data


@dataclass
class Received:
    """A bundle as the board sees it after all its checks."""

    manifest: dict[str, Any]
    model: bytes
    golden: bytes


def receive(board: Board, desired: dict[str, Any], block: int = 30_000) -> Received:
    """Downloads, verifies and decrypts (docs/protocol.md section 7); AssertionError where a board would refuse."""
    release = desired["release"]
    parts = [board.pull_part(release, part, size, block) for part, size in enumerate(desired["sizes"])]
    return open_bundle(*parts, signer=board.signer, key=unwrap(board.keys, release, desired["wrap"]))


def open_bundle(manifest: bytes, signature: bytes, payload: bytes, *, signer: str, key: bytes) -> Received:
    assert len(manifest) <= 16384
    assert pkcs1_sha256(manifest) == pow(int.from_bytes(signature, "big"), 65537, int(signer, 16)), "bad signature"
    m = json.loads(manifest)
    assert m["payload"]["size"] == len(payload)
    assert m["payload"]["sha256"] == hashlib.sha256(payload).hexdigest()
    plain = unpad(aes(key, bytes.fromhex(m["payload"]["iv"]), payload))
    model, golden = plain[: m["model"]["size"]], plain[m["model"]["size"] :]
    assert m["model"]["sha256"] == hashlib.sha256(model).hexdigest()
    assert m["golden"]["sha256"] == hashlib.sha256(golden).hexdigest() and m["golden"]["size"] == len(golden)
    return Received(m, model, golden)


def unwrap(keys: BoardKeys, release: str, wrap: str) -> bytes:
    data = bytes.fromhex(wrap)
    assert len(data) == 96
    mac = hmac.digest(keys.wrap_mac, b"wrap" + bytes.fromhex(release) + data[:64], "sha256")
    assert hmac.compare_digest(mac, data[64:])
    return unpad(aes(keys.wrap_enc, data[:16], data[16:64]))


def pkcs1_sha256(message: bytes) -> int:
    """EMSA-PKCS1-v1_5 of 384 bytes (RFC 8017 section 9.2)."""
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    return int.from_bytes(b"\x00\x01" + b"\xff" * (384 - len(info) - 3) + b"\x00" + info, "big")


def aes(key: bytes, iv: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def unpad(data: bytes) -> bytes:
    assert data[-data[-1] :] == bytes([data[-1]]) * data[-1]
    return data[: -data[-1]]
