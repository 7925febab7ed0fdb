"""What the embedded broker knows of its clients."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from amqtt.mqtt.publish import PublishPacket

__all__ = ["Connection", "Message", "Session"]


@dataclass(eq=False)
class Connection:
    """One client's socket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> int:
        """Bytes not yet taken by the client."""
        return self.writer.transport.get_write_buffer_size()

    def send(self, packet: Any) -> None:
        self.writer.write(packet.to_bytes())

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass(eq=False)
class Session:
    """What the broker knows of a client id; outlives the connection when `clean` is false."""

    client_id: str
    username: str
    clean: bool
    connection: Connection | None = None
    subscriptions: dict[str, int] = field(default_factory=dict)
    inflight: dict[int, PublishPacket] = field(default_factory=dict)  # QoS 1, sent or waiting for the client to return
    received: set[int] = field(default_factory=set)  # QoS 2 ids between PUBLISH and PUBREL
    last_id: int = 0

    def next_id(self) -> int:
        self.last_id = self.last_id % 65535 + 1
        while self.last_id in self.inflight:
            self.last_id = self.last_id % 65535 + 1
        return self.last_id


@dataclass(frozen=True)
class Message:
    topic: str
    data: bytes
    qos: int
