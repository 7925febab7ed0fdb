"""What the deployer says to boards. An answer that cannot be sent is logged and let go: the board asks again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.common import topics
from services.common.errors import Unavailable
from services.common.frames import AckReason, Frame, Kind, seal_downlink
from services.common.keys import BoardKeys
from services.common.logs import logger
from services.common.metrics import counter
from services.common.mqtt import MqttBus

__all__ = ["Answers"]

log = logger(__name__)

REFUSED = counter("deployer_refused", "Frames refused, by reason.", ("reason",))


class Answers:
    """Thread-safe."""

    def __init__(self, bus: MqttBus) -> None:
        self._bus = bus

    def frame(
        self,
        board_id: str,
        kind: Kind,
        body: bytes | Mapping[str, object],
        keys: BoardKeys,
        to: Frame | None = None,
        *,
        retain: bool = False,
    ) -> None:
        """Seals and sends; `to` is the frame that is answered. A mapping goes as JSON."""
        plaintext = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        session, sequence = (to.session, to.sequence) if to else (0, 0)
        sealed = seal_downlink(kind, plaintext, keys.down_enc, keys.down_mac, session, sequence)
        self._send(board_id, topics.down(board_id, kind), sealed, retain=retain)

    def refuse(
        self, board_id: str, reason: AckReason, detail: str, keys: BoardKeys | None, to: Frame | None = None
    ) -> None:
        """An ACK under the board's keys; without any, the clear word for its display. `detail` is for the log only."""
        REFUSED.labels(reason.value).inc()
        log.warning("frame_refused", board=board_id, reason=reason.value, detail=detail)
        if keys is None:
            self.show(board_id, reason)
        else:
            self.frame(board_id, Kind.ACK, {"for": "", "reason": reason.value}, keys, to)

    def show(self, board_id: str, reason: AckReason) -> None:
        """In the clear, for the board's display only."""
        self._send(board_id, topics.refused(board_id), json.dumps({"reason": reason.value}).encode())

    def clear(self, topic: str) -> None:
        """Removes what the broker retains there."""
        self._send(topic, topic, b"", retain=True)

    def _send(self, board_id: str, topic: str, payload: bytes, *, retain: bool = False) -> None:
        try:
            self._bus.publish(topic, payload, retain=retain)
        except Unavailable as error:
            log.warning("answer_not_sent", board=board_id, topic=topic, detail=str(error))
