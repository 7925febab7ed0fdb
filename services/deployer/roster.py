"""The roster for the collector: a sealed, retained record of each board (docs/protocol.md section 8)."""

from __future__ import annotations

import json

from cryptography.fernet import Fernet

from services.common import topics
from services.common.database import Database
from services.common.errors import Unavailable
from services.common.keys import BoardKeys
from services.common.logs import logger
from services.common.mqtt import MqttBus
from services.deployer import models
from services.deployer.boards import Boards
from services.deployer.vault import Vault

__all__ = ["Roster"]

log = logger(__name__)


class Roster:
    """A board is in the roster from the end of its first pairing on; a revoked one stays in it as not active."""

    def __init__(self, bus: MqttBus, database: Database, boards: Boards, vault: Vault, fernet: Fernet) -> None:
        self._bus = bus
        self._database = database
        self._boards = boards
        self._vault = vault
        self._fernet = fernet

    def publish(self, board_id: str) -> None:
        """Seals the board's record and has the broker keep it; nothing for a board that was never paired."""
        record = self._record(board_id)
        if record is None:
            return
        sealed = self._fernet.encrypt(json.dumps(record, ensure_ascii=False).encode())
        try:
            self._bus.publish(topics.record(board_id), sealed, qos=1, retain=True)
        except Unavailable as error:  # published again at the next connect
            log.warning("board_record_not_sent", board=board_id, detail=str(error))

    def publish_all(self) -> None:
        for board_id in self._boards.ids():
            self.publish(board_id)

    def _record(self, board_id: str) -> dict[str, object] | None:
        with self._database.session(read_only=True) as session:
            row = session.get(models.Board, board_id)
        if row is None or not row.hardware:
            return None
        keys = self._boards.paired_keys(board_id) or self._void(board_id)
        names = ("up_enc", "up_mac", "down_enc", "down_mac")
        record: dict[str, object] = {
            "board": board_id,
            "project": row.project_id,
            "name": row.name,
            "active": not row.revoked and row.secret is not None,
        }
        return record | {name: getattr(keys, name).hex() for name in names}

    def _void(self, board_id: str) -> BoardKeys:
        """Keys that no board has: the record of a revoked board keeps its form and says nothing of the old keys."""
        return BoardKeys.derive(self._vault.derive(f"revoked:{board_id}")[:16])
