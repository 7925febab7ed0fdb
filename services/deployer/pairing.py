"""Pairing: a code of a few minutes becomes a secret that only board and server know (docs/protocol.md section 6).

    CreatePairing          HELLO under P              HELLO under S
    code shown  ────────>  S handed out  ──────────>  S kept, P void
         │ 10 min                │ 24 h
         v                       v
       void                    void       (the board's secret from before stays valid)

A board that loses power goes on with what it stored: under P it is handed an S again, under S it ends the pairing. From
the first HELLO on the code belongs to that board's hardware.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from services.common.database import Database
from services.common.errors import InvalidInput
from services.common.keys import PairingCode, new_board_id, new_secret, renew_secret
from services.common.logs import logger
from services.deployer import models
from services.deployer.boards import Boards, find_board, read_renewed
from services.deployer.vault import Vault

__all__ = ["FINISH_WITHIN", "OpenedCode", "Pairings", "check_name", "hand_out", "keep"]

log = logger(__name__)

FINISH_WITHIN = timedelta(hours=24)  # from a board's first HELLO under the code: a power cut must not waste it
RENEWED_KEPT = 4  # secrets handed out under one code; a board keeps the newest it heard of
BOARD_TYPE = re.compile(r"[a-z0-9_]{1,32}")


@dataclass(frozen=True)
class OpenedCode:
    """A code to show. `text` is a secret until it has expired."""

    board_id: str
    text: str = field(repr=False)
    expires_at: datetime


class Pairings:
    """Opens codes and closes those that expired."""

    def __init__(self, database: Database, boards: Boards, vault: Vault, minutes: float) -> None:
        self._database = database
        self._boards = boards
        self._vault = vault
        self._valid = timedelta(minutes=minutes)

    def open(self, project_id: str, name: str, board_type: str, host: str, port: int) -> OpenedCode:
        """For a new board. InvalidInput: name, type, host, or a code over 64 bytes."""
        if not project_id or len(project_id) > 64:
            raise InvalidInput("BAD_PROJECT", "The board's project_id is empty or over 64 characters.")
        check_name(name, "board")
        if not BOARD_TYPE.fullmatch(board_type):
            message = f"The board type {board_type!r} is not 1 to 32 characters of a-z, 0-9 and _."
            raise InvalidInput("BAD_BOARD_TYPE", message, fix="Use k210 or v831.")
        code = PairingCode(host, port, new_board_id(), new_secret())
        with self._database.session() as session:
            session.add(
                models.Board(
                    id=code.board_id,
                    project_id=project_id,
                    name=name,
                    board_type=board_type,
                    created_at=self._boards.clock(),
                )
            )
            session.flush()
            opened = self._put(session, code)
        log.info("pairing_opened", board=code.board_id, project=project_id)
        return opened

    def reopen(self, board_id: str, host: str, port: int) -> OpenedCode:
        """For a board that exists, also a revoked one; an older code of it is void. NotFound (UNKNOWN_BOARD)."""
        with self._database.session() as session:
            find_board(session, board_id, lock=True).revoked = False
            opened = self._put(session, PairingCode(host, port, board_id, new_secret()))
        self._boards.forget(board_id)
        log.info("pairing_opened", board=board_id, again=True)
        return opened

    def sweep(self) -> list[str]:
        """Removes the codes that have expired; the ids of their boards."""
        with self._database.session(read_only=True) as session:
            if not session.scalars(_expired(self._boards.clock())).first():
                return []
        with self._database.session() as session:
            ended = list(session.scalars(_expired(self._boards.clock())))
            for pairing in ended:
                session.delete(pairing)
        for pairing in ended:
            self._boards.forget(pairing.board_id)
            log.info("pairing_expired", board=pairing.board_id, begun=bool(pairing.hardware))
        return [pairing.board_id for pairing in ended]

    def _put(self, session: Session, code: PairingCode) -> OpenedCode:
        expires_at = self._boards.clock() + self._valid
        row = session.get(models.Pairing, code.board_id)
        if row is not None:
            session.delete(row)
            session.flush()
        session.add(
            models.Pairing(
                board_id=code.board_id,
                secret=self._vault.seal(code.secret),
                server_nonce=secrets.token_bytes(16),
                expires_at=expires_at,
            )
        )
        return OpenedCode(code.board_id, code.encode(), expires_at)


def _expired(now: datetime) -> Select[models.Pairing]:
    return select(models.Pairing).where(models.Pairing.expires_at <= now)


def check_name(name: str, of: str) -> None:
    """InvalidInput (BAD_NAME) unless it has 1 to 64 printable characters."""
    if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
        message = f"The {of}'s name {name[:80]!r} is not 1 to 64 printable characters without space at its ends."
        raise InvalidInput("BAD_NAME", message, fix="Give another name.")


def hand_out(pairing: models.Pairing, vault: Vault, hardware: str, board_nonce: bytes, now: datetime) -> bytes:
    """A HELLO under P: binds the code to the hardware, notes the S this nonce leads to; the server's nonce (16 bytes).

    The same board nonce leads to the same S, so a HELLO that comes twice does no harm.
    """
    if not pairing.hardware:
        pairing.hardware = hardware
        pairing.expires_at = max(pairing.expires_at, now + FINISH_WITHIN)
    secret = renew_secret(vault.open(pairing.secret), board_nonce, pairing.server_nonce)
    known = [one for one in read_renewed(vault, pairing) if one != secret]
    renewed = [one.hex() for one in [*known, secret][-RENEWED_KEPT:]]
    pairing.renewed = vault.seal(json.dumps(renewed).encode())
    return pairing.server_nonce


def keep(row: models.Board, pairing: models.Pairing, session: Session, vault: Vault, secret: bytes) -> None:
    """The first HELLO under S: S becomes the board's own, the code and the secret from before are void."""
    row.secret = vault.seal(secret)
    row.hardware = pairing.hardware
    session.delete(pairing)
