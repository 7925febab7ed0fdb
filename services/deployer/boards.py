"""The boards: rows, keys and revocation. Pairing is in pairing.py, what goes over MQTT in sessions.py and uplink.py.

PAIRING ──HELLO under S──> ONLINE <──state topic, last will──> OFFLINE
   ^                          │ RevokeBoard
   └───── CreatePairing ── REVOKED
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.common.database import Database
from services.common.errors import NotFound
from services.common.keys import BoardKeys
from services.common.logs import logger
from services.deployer import models
from services.deployer.vault import Vault

__all__ = ["Boards", "Clock", "Keyring", "Role", "find_board", "utc_now"]

log = logger(__name__)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Role(Enum):
    """Which of a board's secrets a frame or a password is made with."""

    PAIRED = "S, the board's own"
    RENEWED = "an S handed out under an open code, not heard of yet"
    PAIRING = "P, of the open code"


@dataclass(frozen=True)
class Key:
    """One secret of a board with what it is for."""

    role: Role
    secret: bytes = field(repr=False)
    keys: BoardKeys = field(repr=False)


@dataclass(frozen=True)
class Keyring:
    """Everything a board may use, its own secret first, then renewed ones (newest first), then the code's."""

    board_id: str
    paired: Key | None
    renewed: tuple[Key, ...] = ()
    pairing: Key | None = None
    until: datetime | None = None  # end of the open code

    def usable(self, now: datetime) -> Iterator[Key]:
        """The keys that are valid now."""
        if self.paired:
            yield self.paired
        if self.until and now < self.until:
            yield from self.renewed
            if self.pairing:
                yield self.pairing


class Boards:
    """Thread-safe. Keys are kept in memory after their first use; `forget` after every change of them."""

    def __init__(self, database: Database, vault: Vault, clock: Clock = utc_now) -> None:
        self._database = database
        self._vault = vault
        self._lock = threading.Lock()
        self._keyrings: dict[str, Keyring] = {}
        self.clock = clock

    def keyring(self, board_id: str) -> Keyring | None:
        """None for a board that is unknown or revoked. Unavailable when the database is away."""
        with self._lock:
            found = self._keyrings.get(board_id)
            if found is None:
                found = self._read(board_id)
                if found is not None:
                    self._keyrings[board_id] = found
            return found

    def forget(self, board_id: str) -> None:
        with self._lock:
            self._keyrings.pop(board_id, None)

    def paired_keys(self, board_id: str) -> BoardKeys | None:
        """The keys of S, or None before the first pairing has ended, and for an unknown or revoked board."""
        keyring = self.keyring(board_id)
        return keyring.paired.keys if keyring and keyring.paired else None

    def ids(self) -> list[str]:
        """All boards, also revoked ones."""
        with self._database.session(read_only=True) as session:
            return list(session.scalars(select(models.Board.id).order_by(models.Board.id)))

    def revoke(self, board_id: str) -> None:
        """Erases its secrets. NotFound (UNKNOWN_BOARD)."""
        with self._database.session() as session:
            row = find_board(session, board_id)
            row.revoked, row.secret, row.desired_release_id = True, None, ""
            pairing = session.get(models.Pairing, board_id)
            if pairing is not None:
                session.delete(pairing)
        self.forget(board_id)
        log.info("board_revoked", board=board_id)

    def _read(self, board_id: str) -> Keyring | None:
        with self._database.session(read_only=True) as session:
            row = session.get(models.Board, board_id)
            if row is None or row.revoked:
                return None
            pairing = session.get(models.Pairing, board_id)
        paired = self._key(Role.PAIRED, self._vault.open(row.secret)) if row.secret else None
        if pairing is None:
            return Keyring(board_id, paired)
        renewed = read_renewed(self._vault, pairing)
        return Keyring(
            board_id,
            paired,
            tuple(self._key(Role.RENEWED, secret) for secret in reversed(renewed)),
            self._key(Role.PAIRING, self._vault.open(pairing.secret)),
            pairing.expires_at,
        )

    @staticmethod
    def _key(role: Role, secret: bytes) -> Key:
        return Key(role, secret, BoardKeys.derive(secret))


def read_renewed(vault: Vault, pairing: models.Pairing) -> list[bytes]:
    """The secrets handed out under a code, oldest first."""
    if pairing.renewed is None:
        return []
    return [bytes.fromhex(secret) for secret in json.loads(vault.open(pairing.renewed))]


def find_board(session: Session, board_id: str, *, lock: bool = False) -> models.Board:
    """The row, locked against other writers if asked; NotFound (UNKNOWN_BOARD)."""
    row = session.get(models.Board, board_id, with_for_update=lock)
    if row is None:
        raise NotFound("UNKNOWN_BOARD", f"There is no board {board_id!r}.", fix="Choose one of the Boards page.")
    return row
