"""A service that only listens: it reads every board's frames at the broker, as they go by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.allinone import AllInOne
from services.common import topics
from services.common.frames import BlockRequest, Frame, Kind, open_frame
from services.common.keys import record_fernet
from services.common.mqtt import MqttBus, MqttMessage, service_bus

__all__ = ["Witness", "witness"]

UPLINK = (Kind.CAPTURE, Kind.PULL, Kind.REPORT)


@dataclass(frozen=True)
class Seen:
    board: str
    frame: Frame


class Witness:
    """`frames`: what boards sent, oldest first. `on_frame` is called with each of them, on the bus's thread."""

    def __init__(self, bus: MqttBus, key: str) -> None:
        self.frames: list[Seen] = []
        self.on_frame: Callable[[Seen], None] = lambda seen: None
        self._fernet = record_fernet(key)
        self._keys: dict[str, tuple[bytes, bytes]] = {}
        bus.subscribe(topics.RECORDS, self._learn)
        for kind in UPLINK:
            bus.subscribe(topics.up("+", kind), self._see)

    def of(self, board: str, kind: Kind) -> list[Frame]:
        return [seen.frame for seen in self.frames if seen.board == board and seen.frame.kind == kind]

    def pulls(self, board: str) -> list[BlockRequest]:
        """The pieces of releases that a board asked for."""
        return [BlockRequest.parse(frame.plaintext) for frame in self.of(board, Kind.PULL)]

    def reports(self, board: str) -> list[tuple[str, str, str]]:
        """Release, state and reason that a board reported."""
        documents = (json.loads(frame.plaintext) for frame in self.of(board, Kind.REPORT))
        return [(one["release"], one["state"], one["reason"]) for one in documents]

    def _learn(self, message: MqttMessage) -> None:
        if message.payload:
            record = json.loads(self._fernet.decrypt(message.payload))
            self._keys[record["board"]] = bytes.fromhex(record["up_enc"]), bytes.fromhex(record["up_mac"])

    def _see(self, message: MqttMessage) -> None:
        board = topics.board_of(message.topic)
        seen = Seen(board, open_frame(message.payload, *self._keys[board], uplink=True))
        self.frames.append(seen)
        self.on_frame(seen)


@contextmanager
def witness(boardloop: AllInOne) -> Iterator[Witness]:
    """Listens from now on; boards that are paired already are known to it."""
    settings = boardloop.settings.model_copy(update={"mqtt_url": boardloop.mqtt_url})
    bus = service_bus(settings, "witness")
    listening = Witness(bus, settings.service_key.get_secret_value())
    bus.start()
    try:
        bus.wait_connected(30)
        yield listening
    finally:
        bus.stop()
