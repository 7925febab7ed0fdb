"""A board as the collector sees it: frames over a real broker, every answer kept."""

from __future__ import annotations

import io
import json
import queue
import random
from dataclasses import dataclass, field

from PIL import Image

from services.common import topics
from services.common.captures import CaptureChunk, CaptureMetadata, CaptureRecord
from services.common.frames import AckReason, Kind, open_frame, seal_uplink
from services.common.keys import BoardKeys, new_board_id, new_secret, record_fernet
from services.common.mqtt import MqttBus, MqttMessage

ANSWER_SECONDS = 20.0  # far over what an answer takes; only a test that fails waits so long


def make_jpeg(seed: int, width: int = 96, height: int = 96, quality: int = 60) -> bytes:
    """A picture of noise: no two seeds alike; 224x224 at quality 60 has about 30 KiB."""
    noise = random.Random(seed).randbytes(width * height * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(out, "JPEG", quality=quality)
    return out.getvalue()


@dataclass
class Ack:
    capture_id: str
    reason: AckReason
    missing: list[int]
    session: int
    sequence: int


@dataclass
class WireBoard:
    """Speaks docs/protocol.md through the bus of the test, which may use every topic as services may."""

    bus: MqttBus
    project_id: str
    board_id: str = field(default_factory=new_board_id)
    secret: bytes = field(default_factory=new_secret)
    session: int = 1
    sequence: int = 0
    presses: int = 0
    detached: bool = False  # another board has taken its id: what comes now is sealed for that one

    def __post_init__(self) -> None:
        self.keys = BoardKeys.derive(self.secret)
        self.acks: queue.Queue[Ack] = queue.Queue()
        self.refusals: queue.Queue[dict[str, str]] = queue.Queue()
        self.projects: queue.Queue[dict[str, object]] = queue.Queue()
        self.bus.subscribe(topics.down(self.board_id, Kind.ACK), self._ack)
        self.bus.subscribe(topics.down(self.board_id, Kind.PROJECT), self._project)
        self.bus.subscribe(topics.refused(self.board_id), lambda m: self.refusals.put(json.loads(m.payload)))

    def _ack(self, message: MqttMessage) -> None:
        if self.detached:
            return
        frame = open_frame(message.payload, self.keys.down_enc, self.keys.down_mac, uplink=False)
        body = json.loads(frame.plaintext)
        reason = AckReason(body["reason"])
        self.acks.put(Ack(body["for"], reason, body.get("missing", []), frame.session, frame.sequence))

    def _project(self, message: MqttMessage) -> None:
        if message.payload and not self.detached:
            frame = open_frame(message.payload, self.keys.down_enc, self.keys.down_mac, uplink=False)
            self.projects.put(json.loads(frame.plaintext))

    def record_token(self, service_key: str, *, active: bool = True) -> bytes:
        """The sealed board record of section 8."""
        keys = {name: getattr(self.keys, name).hex() for name in ("up_enc", "up_mac", "down_enc", "down_mac")}
        fields = {"board": self.board_id, "project": self.project_id, "name": "a board", "active": active, **keys}
        return record_fernet(service_key).encrypt(json.dumps(fields).encode())

    def enrol(self, service_key: str, *, active: bool = True) -> WireBoard:
        """What the deployer does; returns when the collector has announced the project, unless inactive."""
        self.bus.publish(
            topics.record(self.board_id), self.record_token(service_key, active=active), qos=1, retain=True
        )
        if active:
            self.projects.get(timeout=ANSWER_SECONDS)
        return self

    def press(self, label: str = "", jpeg: bytes | None = None) -> CaptureRecord:
        """A new capture record, as the button makes it."""
        self.presses += 1
        picture = make_jpeg(hash((self.board_id, self.presses))) if jpeg is None else jpeg
        return CaptureRecord(CaptureMetadata(self.presses, label, 1_795_000_000, 96, 96), picture)

    def chunks(self, record: bytes, capture_id: bytes, size: int = 1920) -> list[CaptureChunk]:
        count = -(-len(record) // size)
        parts = [record[index * size : (index + 1) * size] for index in range(count)]
        return [CaptureChunk(capture_id, len(record), index, count, part) for index, part in enumerate(parts)]

    def seal(self, plaintext: bytes, kind: Kind = Kind.CAPTURE) -> bytes:
        self.sequence += 1
        return seal_uplink(kind, self.session, self.sequence, plaintext, self.keys)

    def publish(self, frame: bytes) -> None:
        self.bus.publish(topics.up(self.board_id, Kind.CAPTURE), frame)

    def send(self, record: CaptureRecord, size: int = 1920) -> None:
        for chunk in self.chunks(record.pack(), record.capture_id, size):
            self.publish(self.seal(chunk.pack()))

    def answer(self) -> Ack:
        """The next ACK."""
        return self.acks.get(timeout=ANSWER_SECONDS)

    def deliver(self, record: CaptureRecord, size: int = 1920) -> AckReason:
        """Sends it and waits for the answer to it."""
        self.send(record, size)
        while (ack := self.answer()).capture_id != record.capture_id.hex():
            pass
        return ack.reason
