"""Which boards are there: the retained state topic with its last will, and when each was last heard of."""

from __future__ import annotations

import json
import threading
from datetime import datetime

from services.common import topics
from services.common.logs import logger
from services.common.mqtt import MqttMessage
from services.deployer.boards import Clock

__all__ = ["Presence"]

log = logger(__name__)


class Presence:
    """In memory: the broker tells the states again at each connect. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._online: set[str] = set()
        self._seen: dict[str, datetime] = {}

    def receive(self, message: MqttMessage) -> None:
        """A message of bl/<board>/state: `{"online": true}`. In the clear, so it decides nothing but the display."""
        board_id = topics.board_of(message.topic)
        try:
            online = json.loads(message.payload)["online"] is True if message.payload else False
        except (ValueError, KeyError, TypeError):
            log.warning("state_not_understood", board=board_id)
            return
        with self._lock:
            if online:
                self._online.add(board_id)
            else:
                self._online.discard(board_id)
            if not message.retained:
                self._seen[board_id] = self._clock()

    def heard(self, board_id: str) -> None:
        """A frame of the board was accepted."""
        with self._lock:
            self._seen[board_id] = self._clock()

    def gone(self, board_id: str) -> None:
        """Revoked: the broker ends the connection."""
        with self._lock:
            self._online.discard(board_id)

    def online(self, board_id: str) -> bool:
        with self._lock:
            return board_id in self._online

    def last_seen(self, board_id: str) -> datetime | None:
        """None when it was not heard of since this process began."""
        with self._lock:
            return self._seen.get(board_id)
