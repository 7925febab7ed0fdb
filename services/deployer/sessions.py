"""HELLO -> WELCOME: session numbers, the replay windows that hang on them, and the steps of pairing.

A session number is in the database before the board hears of it, so it rises over every restart. After a restart the
deployer knows no window; it then refuses every session given before, and the board says HELLO again: no frame of
yesterday can be replayed, and no frame costs a write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.common.database import Database
from services.common.frames import AckReason, Frame, FrameError, Kind, ReplayWindow
from services.common.logs import logger
from services.deployer import models
from services.deployer.answers import Answers
from services.deployer.boards import Boards, Key, Role, find_board
from services.deployer.pairing import BOARD_TYPE, hand_out, keep
from services.deployer.vault import Vault

__all__ = ["BLOCK_MAX", "Hello", "Sessions", "first_fault"]

log = logger(__name__)

LAST_SEQUENCE = 0xFFFFFFFF
BLOCK_BYTES = {"k210": 2048}  # a K210's WiFi module loses what comes in larger pieces
BLOCK_MAX = 60 * 1024  # a BLOCK frame must stay below 65,536 bytes


class Hello(BaseModel):
    """What a board says of itself; unknown fields are left alone."""

    model_config = ConfigDict(strict=True)

    nonce: str = Field(pattern="^[0-9a-f]{32}$")
    hardware: str = Field(pattern="^[0-9a-f]{16}$")
    type: str = Field(pattern=f"^{BOARD_TYPE.pattern}$")
    firmware: str = Field("", max_length=64)
    release: str = Field("", pattern="^([0-9a-f]{32})?$")
    counter: int = Field(0, ge=0)


@dataclass(frozen=True)
class _Greeting:
    session: int
    renew: bytes | None
    ended_pairing: bool


class Sessions:
    """`changed(board_id)` is called when the broker's accounts of the board change, `paired(board_id)` when it ends
    its pairing; both before the board hears of it. `proven(board_id, hello)`: the board itself said this, it was no
    replay."""

    def __init__(self, database: Database, boards: Boards, vault: Vault, answers: Answers, signer_modulus: str) -> None:
        self._database = database
        self._boards = boards
        self._vault = vault
        self._answers = answers
        self._signer = signer_modulus
        self._lock = threading.Lock()
        self._windows: dict[str, ReplayWindow] = {}
        self._told: dict[str, tuple[int, Hello]] = {}
        self.changed: Callable[[str], None] = lambda board_id: None
        self.paired: Callable[[str], None] = lambda board_id: None
        self.proven: Callable[[str, Hello], None] = lambda board_id, hello: None

    def hello(self, board_id: str, key: Key, frame: Frame) -> None:
        """Answers WELCOME. FrameError: MALFORMED; UNKNOWN_BOARD for other hardware than the paired one."""
        try:
            hello = Hello.model_validate_json(frame.plaintext)
        except ValidationError as error:
            raise FrameError(AckReason.MALFORMED, f"HELLO is not understood: {first_fault(error)}") from error
        with self._lock:
            greeting = self._greet(board_id, key, hello)
        if key.role is not Role.PAIRED:
            self._boards.forget(board_id)
            self.changed(board_id)
        if greeting.ended_pairing:
            log.info("board_paired", board=board_id, hardware=hello.hardware, type=hello.type)
            self.paired(board_id)
        if greeting.renew is None:
            self._told[board_id] = (greeting.session, hello)
        self._answers.frame(board_id, Kind.WELCOME, self._welcome(hello, greeting), key.keys, frame)
        log.info("board_hello", board=board_id, session=greeting.session, role=key.role.name, firmware=hello.firmware)

    def accept(self, board_id: str, frame: Frame) -> bool:
        """Whether the frame is above the last of this board; False is REPLAYED."""
        window = self._windows.get(board_id)
        if window is None:
            with self._database.session(read_only=True) as session:
                given = find_board(session, board_id).session
            window = self._windows.setdefault(board_id, ReplayWindow((given, LAST_SEQUENCE)))
        if not window.accept(frame.session, frame.sequence):
            return False
        told = self._told.get(board_id)
        if told and told[0] == frame.session:
            del self._told[board_id]
            self.proven(board_id, told[1])
        return True

    def _greet(self, board_id: str, key: Key, hello: Hello) -> _Greeting:
        renew, ended = None, False
        with self._database.session() as session:
            row = find_board(session, board_id, lock=True)
            if key.role is Role.PAIRED:
                _same_hardware(row.hardware, hello.hardware, "The board's keys")
            else:
                pairing = session.get(models.Pairing, board_id)
                if pairing is None:  # another HELLO ended it a moment ago
                    raise FrameError(AckReason.UNKNOWN_BOARD, "The pairing code was used up.")
                if pairing.hardware:
                    _same_hardware(pairing.hardware, hello.hardware, "The pairing code")
                if key.role is Role.PAIRING:
                    nonce = bytes.fromhex(hello.nonce)
                    renew = hand_out(pairing, self._vault, hello.hardware, nonce, self._boards.clock())
                else:
                    keep(row, pairing, session, self._vault, key.secret)
                    row.board_type, row.firmware, ended = hello.type, hello.firmware, True
            before, row.session = row.session, row.session + 1
            row.last_seen_at = self._boards.clock()
        # Below: the database has the number; only now may a window be opened at the one before it.
        if board_id not in self._windows:
            self._windows[board_id] = ReplayWindow((before, LAST_SEQUENCE))
        return _Greeting(before + 1, renew, ended)

    def _welcome(self, hello: Hello, greeting: _Greeting) -> dict[str, object]:
        welcome: dict[str, object] = {
            "nonce": hello.nonce,
            "session": greeting.session,
            "time": int(self._boards.clock().timestamp()),
            "block": BLOCK_BYTES.get(hello.type, BLOCK_MAX),
        }
        if greeting.renew is not None:
            welcome |= {"renew": greeting.renew.hex(), "signer": self._signer}
        return welcome


def first_fault(error: ValidationError) -> str:
    """The first field that is wrong, in words."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"


def _same_hardware(known: str, said: str, what: str) -> None:
    if known != said:
        message = f"{what} belong to hardware {known}, and HELLO came from {said}."
        raise FrameError(AckReason.UNKNOWN_BOARD, message, fix="Pair the new board with a code of its own.")
