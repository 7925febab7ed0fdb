"""A collector and a deployer in one, as small as docs/protocol.md allows, over a real broker."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import paho.mqtt.client as paho

from services.common.frames import (
    AckReason,
    Block,
    BlockRequest,
    CaptureChunk,
    CaptureRecord,
    Frame,
    FrameError,
    Kind,
    ReplayWindow,
    open_frame,
    seal_downlink,
)
from services.common.keys import BoardKeys, renew_secret

BOARD = "k7q2mzx4ab"
SECRET = bytes(range(16))
TIME = 1795000000


@dataclass
class FakeServer:
    """Everything it saw is in its lists; `wait` waits until a condition on them holds."""

    port: int
    secret: bytes = SECRET
    signer: str = "00" * 384
    labels: list[str] = field(default_factory=lambda: ["functional", "defective"])
    project: str = "cells"
    block: int = 8192
    login: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.keys = BoardKeys.derive(self.secret)
        self.pairing = True
        self.pending: BoardKeys | None = None
        self.session = 6
        self.window = ReplayWindow()
        self.frames: list[Frame] = []
        self.hellos: list[dict[str, object]] = []
        self.ivs: list[bytes] = []
        self.parts: dict[bytes, dict[int, bytes]] = {}
        self.stored: dict[bytes, CaptureRecord] = {}
        self.records: list[bytes] = []
        self.acks: list[str] = []
        self.reports: list[dict[str, object]] = []
        self.results: list[dict[str, object]] = []
        self.states: list[bytes] = []
        self.releases: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self.judge: Callable[[CaptureChunk, Frame], str | None] = lambda chunk, frame: None
        self.drop: Callable[[Frame], bool] = lambda frame: False
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"service.{secrets.token_hex(4)}")
        self.client.on_message = self._on_message
        if self.login:
            self.client.username_pw_set(*self.login)
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_connect = lambda client, *_: client.subscribe("bl/#")
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        assert ready.wait(10)

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def code(self) -> str:
        letters = base64.b32encode(self.secret).decode().rstrip("=")
        return f"BL1:127.0.0.1:{self.port}:{BOARD}:{letters}"

    def wait(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"not within {seconds} s; acks {self.acks[-5:]}"

    def sync(self) -> None:
        """Everything that the broker had before has been handled when this returns."""
        mark = secrets.token_bytes(8)
        self.client.publish("bl/sync/state", mark)
        self.wait(lambda: mark in self.states)

    # --- sending

    def publish(self, word: str, data: bytes, retain: bool = False) -> None:
        self.client.publish(f"bl/{BOARD}/down/{word}", data, retain=retain)

    def seal(self, kind: Kind, document: dict[str, object] | bytes, to: Frame | None = None) -> bytes:
        plaintext = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
        session, sequence = (to.session, to.sequence) if to else (0, 0)
        return seal_downlink(kind, plaintext, self.keys.down_enc, self.keys.down_mac, session, sequence)

    def ack(self, reason: str, capture_id: str, to: Frame | None, **more: object) -> None:
        self.acks.append(reason)
        self.publish("ack", self.seal(Kind.ACK, {"for": capture_id, "reason": reason, **more}, to))

    def announce_project(self) -> None:
        self.publish("project", self.seal(Kind.PROJECT, {"project": self.project, "labels": self.labels}), retain=True)

    def desire(self, document: dict[str, object]) -> None:
        self.publish("desired", self.seal(Kind.DESIRED, document), retain=True)

    # --- receiving

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        word = message.topic.split("/")[-1]
        with self.changed:
            if word == "state":
                self.states.append(message.payload)
            elif "/up/" in message.topic:
                self._on_frame(message.payload)
            self.changed.notify_all()

    def _on_frame(self, data: bytes) -> None:
        frame = self._open(data)
        if frame is None:
            self.ack("BAD_MAC", "", None)
            return
        self.ivs.append(data[12:28])
        self.frames.append(frame)
        if self.drop(frame):
            return
        if frame.kind is Kind.HELLO:
            self._on_hello(frame)
        elif not self.window.accept(frame.session, frame.sequence):
            self.ack("REPLAYED", "", frame)
        elif frame.kind is Kind.CAPTURE:
            self._on_capture(frame)
        elif frame.kind is Kind.PULL:
            self._on_pull(frame)
        elif frame.kind is Kind.REPORT:
            self.reports.append(json.loads(frame.plaintext))
        elif frame.kind is Kind.RESULT:
            self.results.append(json.loads(frame.plaintext))

    def _open(self, data: bytes) -> Frame | None:
        for keys in (self.pending, self.keys):
            if keys:
                try:
                    frame = open_frame(data, keys.up_enc, keys.up_mac, uplink=True)
                except FrameError:
                    continue
                if keys is self.pending:
                    self.keys, self.pending, self.pairing = keys, None, False
                return frame
        return None

    def _on_hello(self, frame: Frame) -> None:
        hello = json.loads(frame.plaintext)
        self.hellos.append(hello)
        self.session += 1
        welcome = {"nonce": hello["nonce"], "session": self.session, "time": TIME, "block": self.block}
        if self.pairing:
            nonce = secrets.token_bytes(16)
            self.pending = BoardKeys.derive(renew_secret(self.secret, bytes.fromhex(hello["nonce"]), nonce))
            welcome |= {"renew": nonce.hex(), "signer": self.signer}
        self.publish("welcome", self.seal(Kind.WELCOME, welcome, frame))
        if not self.pairing:
            self.announce_project()

    def _on_capture(self, frame: Frame) -> None:
        chunk = CaptureChunk.parse(frame.plaintext)
        verdict = self.judge(chunk, frame)
        if verdict:
            self.ack(verdict, chunk.capture_id.hex(), frame)
            return
        if chunk.capture_id in self.stored:
            if chunk.index == chunk.count - 1:
                self.ack(AckReason.DUPLICATE, chunk.capture_id.hex(), frame)
            return
        parts = self.parts.setdefault(chunk.capture_id, {})
        parts[chunk.index] = chunk.data
        missing = [i for i in range(chunk.count) if i not in parts]
        if not missing:
            self.records.append(b"".join(parts[i] for i in range(chunk.count)))
            record = CaptureRecord.parse(self.records[-1])
            assert record.capture_id == chunk.capture_id
            self.stored[chunk.capture_id] = record
            self.ack(AckReason.STORED, chunk.capture_id.hex(), frame)
        elif chunk.index == chunk.count - 1:
            self.ack(AckReason.MISSING, chunk.capture_id.hex(), frame, missing=missing[:64])

    def _on_pull(self, frame: Frame) -> None:
        request = BlockRequest.parse(frame.plaintext)
        parts = self.releases.get(request.release_id)
        if parts is None or request.offset + request.length > len(parts[request.part]):
            self.ack(AckReason.MALFORMED, "", frame)
            return
        data = parts[request.part][request.offset : request.offset + request.length]
        block = Block(request.release_id, request.part, request.offset, data)
        self.publish("block", self.seal(Kind.BLOCK, block.pack(), frame))

    # --- what tests ask

    @property
    def seqs(self) -> list[int]:
        return sorted(record.metadata.seq for record in self.stored.values())
