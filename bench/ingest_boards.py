"""The boards of bench/ingest.py: many in one process, each with one connection and one capture on its way."""

from __future__ import annotations

import asyncio
import io
import json
import random
import struct
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image

from services.common import topics
from services.common.captures import CaptureChunk, CaptureMetadata, CaptureRecord
from services.common.frames import Kind, open_frame, seal_uplink
from services.common.keys import BoardKeys

KIB = 1024
JPEG_BYTES = 30 * KIB
SESSION = 1


@dataclass(frozen=True)
class Plan:
    """One measurement. `subscriber`: "collector", or "plain" with `threads`."""

    broker: str
    subscriber: str
    threads: int
    chunk: int
    boards: int
    seconds: float
    captures: int
    service_key: str
    secrets: tuple[tuple[str, bytes], ...]


def thirty_kib_jpeg() -> bytes:
    """A 320x240 picture of smooth shapes and grain whose JPEG has 30 KiB, within 3 %."""
    rng = random.Random(1)
    small = Image.frombytes("RGB", (20, 15), rng.randbytes(900)).resize((320, 240), Image.Resampling.BICUBIC)
    grain = Image.frombytes("RGB", (320, 240), rng.randbytes(320 * 240 * 3))
    low, high = 1, 95
    while low < high:
        quality = (low + high) // 2
        out = io.BytesIO()
        Image.blend(small, grain, 0.2).save(out, "JPEG", quality=quality)
        low, high = (quality + 1, high) if out.tell() < JPEG_BYTES else (low, quality)
    jpeg = out.getvalue()
    assert abs(len(jpeg) - JPEG_BYTES) < JPEG_BYTES * 0.2, len(jpeg)
    return jpeg


class MiniClient:
    """MQTT 3.1.1, QoS 0, as little as a board needs: cheap enough that the boards do not slow what is measured."""

    async def connect(self, port: int, user: str, password: str, topic: str) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        text = b"".join(
            struct.pack(">H", len(part)) + part for part in (user.encode(), user.encode(), password.encode())
        )
        self._send(0x10, b"\0\4MQTT\4\xc2\0\0" + text)
        kind, body = await self.receive()
        assert kind == 0x20 and body[1] == 0, f"the broker refused {user}: {body!r}"
        self._send(0x82, b"\0\1" + struct.pack(">H", len(topic)) + topic.encode() + b"\0")
        await self.receive()

    def _send(self, kind: int, body: bytes) -> None:
        length, head = len(body), bytearray([kind])
        while True:
            head.append(length % 128 | (128 if length > 127 else 0))
            length //= 128
            if not length:
                break
        self._writer.write(bytes(head) + body)

    async def publish(self, topic: str, payload: bytes) -> None:
        self._send(0x30, struct.pack(">H", len(topic)) + topic.encode() + payload)
        await self._writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        kind = (await self._reader.readexactly(1))[0]
        length = shift = 0
        while True:
            part = (await self._reader.readexactly(1))[0]
            length |= (part & 127) << shift
            shift += 7
            if part < 128:
                return kind, await self._reader.readexactly(length)

    async def message(self) -> bytes:
        """The payload of the next PUBLISH."""
        while True:
            kind, body = await self.receive()
            if kind & 0xF0 == 0x30:
                return body[2 + int.from_bytes(body[:2], "big") :]

    def close(self) -> None:
        self._writer.close()


class Board:
    """Sends its captures one after the other, each after the ACK of the one before."""

    def __init__(self, plan: Plan, board_id: str, secret: bytes, jpeg: bytes) -> None:
        self.id, self.keys, self.client = board_id, BoardKeys.derive(secret), MiniClient()
        self.stored: list[float] = []
        self._plain = plan.subscriber == "plain"
        sequence, self.captures = 0, []
        for number in range(plan.captures // plan.boards):
            record = CaptureRecord(
                CaptureMetadata(number, "", 1 + plan.secrets.index((board_id, secret)), 320, 240), jpeg
            )
            packed, frames = record.pack(), []
            parts = [packed[at : at + plan.chunk] for at in range(0, len(packed), plan.chunk)]
            for index, part in enumerate(parts):
                sequence += 1
                chunk = CaptureChunk(record.capture_id, len(packed), index, len(parts), part)
                frames.append(seal_uplink(Kind.CAPTURE, SESSION, sequence, chunk.pack(), self.keys))
            self.captures.append((record.capture_id.hex(), frames))

    async def run(self, until: float) -> None:
        topic = topics.up(self.id, Kind.CAPTURE)
        for capture_id, frames in self.captures:
            if time.perf_counter() >= until:
                return
            for frame in frames:
                await self.client.publish(topic, frame)
            ack = await asyncio.wait_for(self.client.message(), 30)
            if not self._plain:
                answer = json.loads(open_frame(ack, self.keys.down_enc, self.keys.down_mac, uplink=False).plaintext)
                assert answer == {"for": capture_id, "reason": "STORED"}, answer
            self.stored.append(time.perf_counter())


async def run_boards(plan: Plan, port: int) -> tuple[int, float]:
    """Captures acknowledged, and the seconds that took."""
    jpeg = thirty_kib_jpeg()
    boards = [Board(plan, board_id, secret, jpeg) for board_id, secret in plan.secrets]
    for board in boards:
        await board.client.connect(port, board.id, board.keys.mqtt_password, topics.down(board.id, Kind.ACK))
    begun = time.perf_counter()
    await asyncio.gather(*(board.run(begun + plan.seconds) for board in boards))
    ended = max(moment for board in boards for moment in board.stored)
    for board in boards:
        board.client.close()
    return sum(len(board.stored) for board in boards), ended - begun


def boards_process(plan: Plan, port: int, pipe: Connection) -> None:
    pipe.send(asyncio.run(run_boards(plan, port)))
