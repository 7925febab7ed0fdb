"""Frames from boards: which keys open them, are they new, who answers them.

HELLO   any valid key of the board     -> sessions.py
PULL    the board's own key, counted   -> blocks.py     -> BLOCK
REPORT  the board's own key, counted   -> rollouts.py
RESULT  the board's own key, counted   -> results.py
"""

from __future__ import annotations

from collections.abc import Callable

from services.common import topics
from services.common.errors import BoardloopError, StorageFull
from services.common.frames import AckReason, Frame, FrameError, Kind, open_frame
from services.common.keys import BoardKeys
from services.common.mqtt import MqttMessage
from services.deployer.answers import Answers
from services.deployer.boards import Boards, Key, Keyring, Role
from services.deployer.brake import Brake
from services.deployer.presence import Presence
from services.deployer.sessions import Sessions

__all__ = ["KINDS", "Counted", "Uplink"]

KINDS = (Kind.HELLO, Kind.PULL, Kind.REPORT, Kind.RESULT)

Counted = Callable[[str, Frame, BoardKeys], None]  # board id, opened frame, keys to answer with; raises FrameError


class Uplink:
    """`receive` runs on the bus's dispatch thread, so frames of one board are handled in order."""

    def __init__(self, boards: Boards, sessions: Sessions, answers: Answers, presence: Presence) -> None:
        self._boards = boards
        self._sessions = sessions
        self._answers = answers
        self._presence = presence
        self._brake = Brake()
        self.handlers: dict[Kind, Counted] = {}

    def receive(self, message: MqttMessage) -> None:
        """One frame of bl/<board>/up/<kind>. Whatever is wrong with it is answered and logged, never raised; one over
        the board's share (brake.py) is let go."""
        board_id = topics.board_of(message.topic)
        kind = Kind[message.topic.rpartition("/")[2].upper()]
        if not self._brake.admit(board_id, kind):
            return
        try:
            keyring = self._boards.keyring(board_id)
        except BoardloopError as error:
            self._answers.refuse(board_id, AckReason.UNAVAILABLE, str(error), None)
            return
        if keyring is None:
            self._answers.refuse(board_id, AckReason.UNKNOWN_BOARD, "no such board, or revoked", None)
            return
        valid = list(keyring.usable(self._boards.clock()))
        if kind is not Kind.HELLO:
            valid = [key for key in valid if key.role is Role.PAIRED]
        try:
            key, frame = _open(message.payload, valid, kind)
        except FrameError as error:
            self._answers.refuse(board_id, error.ack, str(error), _any_keys(keyring, valid))
            return
        self._handle(board_id, kind, key, frame)

    def _handle(self, board_id: str, kind: Kind, key: Key, frame: Frame) -> None:
        try:
            if kind is Kind.HELLO:
                self._sessions.hello(board_id, key, frame)
            elif self._sessions.accept(board_id, frame):
                self.handlers[kind](board_id, frame, key.keys)
            else:
                message = f"({frame.session}, {frame.sequence}) is not above the last {kind.name} frame's."
                raise FrameError(AckReason.REPLAYED, message)
            self._presence.heard(board_id)
        except FrameError as error:
            self._answers.refuse(board_id, error.ack, str(error), key.keys, frame)
        except BoardloopError as error:
            reason = AckReason.STORAGE_FULL if isinstance(error, StorageFull) else AckReason.UNAVAILABLE
            self._answers.refuse(board_id, reason, str(error), key.keys, frame)


def _open(payload: bytes, keys: list[Key], kind: Kind) -> tuple[Key, Frame]:
    """Tries each key; FrameError of the last when none opens it."""
    failure = FrameError(AckReason.BAD_MAC, "The board has no valid key now; its code has expired.")
    for key in keys:
        try:
            frame = open_frame(payload, key.keys.up_enc, key.keys.up_mac, uplink=True)
        except FrameError as error:
            failure = error
            if error.ack is not AckReason.BAD_MAC:
                raise
            continue
        if frame.kind is not kind:
            raise FrameError(AckReason.MALFORMED, f"A {frame.kind.name} frame came on the topic of {kind.name}.")
        return key, frame
    raise failure


def _any_keys(keyring: Keyring, valid: list[Key]) -> BoardKeys | None:
    """What a refusal is sealed with when no key opened the frame: the board's own, else the newest of its code."""
    if keyring.paired:
        return keyring.paired.keys
    return valid[0].keys if valid else None
