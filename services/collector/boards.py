"""The roster: which boards there are, the project of each, and the keys that verify and answer them.

It comes from the deployer as retained messages on boardloop/boards/+ (docs/protocol.md section 8), sealed with Fernet.
It is kept in memory and in a table: a collector that restarts knows every board before the broker has said a word.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from services.collector import models
from services.common.database import Database
from services.common.errors import InvalidInput, Unavailable
from services.common.logs import logger

__all__ = ["BoardEntry", "Roster", "open_record", "remember_frames"]

log = logger("collector.boards")


@dataclass(frozen=True)
class BoardEntry:
    """One board. Keys are 32 bytes each; `key_id` changes when the board is paired anew."""

    board_id: str
    project_id: str
    name: str
    active: bool
    up_enc: bytes
    up_mac: bytes
    down_enc: bytes
    down_mac: bytes

    @property
    def key_id(self) -> str:
        """16 hex characters that tell keys apart and do not give them away."""
        return hashlib.sha256(b"boardloop key id" + self.up_mac).hexdigest()[:16]


def open_record(token: bytes, fernet: Fernet, board_id: str) -> BoardEntry:
    """Raises InvalidInput BAD_BOARD_RECORD when the token is not sealed with our service key or is of another board."""
    try:
        fields = json.loads(fernet.decrypt(token))
        keys = [bytes.fromhex(fields[name]) for name in ("up_enc", "up_mac", "down_enc", "down_mac")]
        if fields["board"] != board_id or any(len(key) != 32 for key in keys):
            raise ValueError("another board's record, or a key that is not 32 bytes")
        return BoardEntry(board_id, str(fields["project"]), str(fields["name"]), bool(fields["active"]), *keys)
    except (InvalidToken, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            "BAD_BOARD_RECORD",
            f"the record of board {board_id!r} does not open: {type(error).__name__} {error}",
            fix="Give the collector and the deployer the same BOARDLOOP_SERVICE_KEY.",
        ) from error


class Roster:
    """Thread-safe. `changed` is called with a board's new entry, or with the last one and removed=True."""

    def __init__(self, database: Database, fernet: Fernet) -> None:
        self._database = database
        self._fernet = fernet
        self._lock = threading.Lock()
        self._boards: dict[str, BoardEntry] = {}
        self._last: dict[str, tuple[int, int]] = {}
        self.changed: Callable[[BoardEntry, bool], None] = lambda entry, removed: None

    def load(self) -> None:
        """Reads the table; a record sealed with another service key is left out with a log line."""
        with self._database.session(read_only=True) as session:
            for row in session.scalars(select(models.Board)):
                try:
                    entry = open_record(row.record.encode(), self._fernet, row.id)
                except InvalidInput as error:
                    log.warning("board_record_ignored", board=row.id, detail=str(error))
                    continue
                self._boards[row.id] = entry
                self._last[row.id] = (row.last_session, row.last_sequence)

    def find(self, board_id: str) -> BoardEntry | None:
        """The board, or None when there is no such board."""
        return self._boards.get(board_id)

    def all(self) -> list[BoardEntry]:
        """Every board that is not removed."""
        with self._lock:
            return list(self._boards.values())

    def last(self, board_id: str) -> tuple[int, int]:
        """(session, sequence) of the last stored capture's frame when the collector started; (0, 0) for a new board."""
        return self._last.get(board_id, (0, 0))

    def receive(self, board_id: str, payload: bytes) -> None:
        """Takes a message of boardloop/boards/<board_id>: a sealed record, or nothing for a board that is removed."""
        if not payload:
            self._remove(board_id)
            return
        entry = open_record(payload, self._fernet, board_id)
        before = self._boards.get(board_id)
        if before == entry:
            return
        with self._lock:
            self._boards[board_id] = entry
            if before is None or before.key_id != entry.key_id:
                self._last[board_id] = (0, 0)
        log.info("board_known", board=board_id, project=entry.project_id, active=entry.active)
        self._write(board_id, lambda session: self._save(session, entry, payload.decode()))
        self.changed(entry, False)

    def _remove(self, board_id: str) -> None:
        with self._lock:
            before = self._boards.pop(board_id, None)
            self._last.pop(board_id, None)
        if before is None:
            return
        log.info("board_removed", board=board_id)
        self._write(board_id, lambda session: session.execute(delete(models.Board).where(models.Board.id == board_id)))
        self.changed(before, True)

    def _write(self, board_id: str, change: Callable[[Session], object]) -> None:
        try:
            with self._database.session() as session:
                change(session)
        except Unavailable as error:  # memory is right, and the broker gives the record again at the next start
            log.warning("board_not_kept_in_the_database", board=board_id, detail=str(error))

    @staticmethod
    def _save(session: Session, entry: BoardEntry, record: str) -> None:
        row = session.get(models.Board, entry.board_id)
        if row is None:
            session.add(models.Board(id=entry.board_id, record=record, key_id=entry.key_id))
            return
        row.record = record
        if row.key_id != entry.key_id:
            row.key_id, row.last_session, row.last_sequence = entry.key_id, 0, 0


REMEMBER = (
    update(models.Board.__table__)  # type: ignore[arg-type]
    .where(models.Board.id == bindparam("board"), models.Board.key_id == bindparam("keys"))
    .values(last_session=bindparam("session"), last_sequence=bindparam("sequence"))
)


def remember_frames(session: Session, marks: Iterable[tuple[str, str, tuple[int, int]]]) -> None:
    """Moves the replay marks (board id, key id, (session, sequence)) in the transaction that stores the captures; marks
    of keys that a board no longer has are left alone."""
    rows = [{"board": board, "keys": keys, "session": at[0], "sequence": at[1]} for board, keys, at in marks]
    if rows:
        session.connection().execute(REMEMBER, rows)
