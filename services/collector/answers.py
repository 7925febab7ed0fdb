"""What the collector says to boards: acknowledgements, refusals, and the project with its labels."""

from __future__ import annotations

import json
from collections.abc import Iterable

from services.collector.boards import BoardEntry
from services.collector.projects import Projects
from services.common import topics
from services.common.errors import BoardloopError, Unavailable
from services.common.frames import AckReason, Kind, seal_downlink
from services.common.logs import logger
from services.common.metrics import counter
from services.common.mqtt import MqttBus

__all__ = ["Answers"]

log = logger("collector.ingest")

FRAMES = counter("collector_answers", "Answers to boards, by reason.", ("reason",))
WELL = (AckReason.STORED, AckReason.DUPLICATE, AckReason.MISSING)


class Answers:
    """Thread-safe. An answer that cannot be sent is logged and let go: the board asks again."""

    def __init__(self, bus: MqttBus) -> None:
        self._bus = bus

    def ack(
        self,
        board: BoardEntry,
        frame: tuple[int, int],
        reason: AckReason,
        capture_id: str = "",
        *,
        missing: tuple[int, ...] = (),
        detail: str = "",
    ) -> None:
        """`frame`: (session, sequence) of the frame that is answered; `detail` goes to the log, never to the board."""
        self._note(board.board_id, reason, capture_id, detail)
        body: dict[str, object] = {"for": capture_id, "reason": reason.value}
        if reason is AckReason.MISSING:
            body["missing"] = list(missing)
        plaintext = json.dumps(body).encode()
        sealed = seal_downlink(Kind.ACK, plaintext, board.down_enc, board.down_mac, *frame)
        self._send(board.board_id, topics.down(board.board_id, Kind.ACK), sealed)

    def refuse(self, board_id: str, reason: AckReason, detail: str) -> None:
        """To a board that we have no keys of."""
        self._note(board_id, reason, "", detail)
        self.show(board_id, reason)

    def show(self, board_id: str, reason: AckReason) -> None:
        """In the clear, for the board's display only: nobody can trust it."""
        self._send(board_id, topics.refused(board_id), json.dumps({"reason": reason.value}).encode())

    def _note(self, board_id: str, reason: AckReason, capture_id: str, detail: str) -> None:
        FRAMES.labels(reason=reason.value).inc()
        if reason in WELL:
            log.debug("capture_answered", board=board_id, reason=reason.value, capture=capture_id)
        else:
            log.warning("capture_refused", board=board_id, reason=reason.value, capture=capture_id, detail=detail)

    def _send(self, board_id: str, topic: str, payload: bytes, *, retain: bool = False) -> None:
        try:
            self._bus.publish(topic, payload, retain=retain)
        except Unavailable as error:
            log.warning("answer_not_sent", board=board_id, topic=topic, detail=str(error))

    def announce(self, boards: Iterable[BoardEntry], projects: Projects) -> None:
        """Publishes the retained PROJECT frame of each active board."""
        found: dict[str, bytes] = {}
        for board in boards:
            if not board.active:
                continue
            try:
                if board.project_id not in found:
                    found[board.project_id] = _project_plaintext(projects, board.project_id)
            except BoardloopError as error:
                log.warning("project_not_announced", board=board.board_id, project=board.project_id, detail=str(error))
                continue
            sealed = seal_downlink(Kind.PROJECT, found[board.project_id], board.down_enc, board.down_mac)
            self._send(board.board_id, topics.down(board.board_id, Kind.PROJECT), sealed, retain=True)

    def withdraw(self, board: BoardEntry) -> None:
        """Takes the PROJECT frame of a board that is removed or revoked from the broker."""
        self._send(board.board_id, topics.down(board.board_id, Kind.PROJECT), b"", retain=True)


def _project_plaintext(projects: Projects, project_id: str) -> bytes:
    project = projects.get(project_id)
    return json.dumps({"project": project.name, "labels": list(project.labels)}, ensure_ascii=False).encode()
