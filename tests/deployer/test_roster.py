"""The sealed board records that the collector lives on."""

from __future__ import annotations

import json
import queue
from typing import Any

from services.common import topics
from services.common.keys import record_fernet
from services.common.mqtt import MqttBus, MqttMessage
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.board import PATIENCE, Board
from tests.deployer.conftest import Site


class Collector:
    """Hears the records as the collector does."""

    def __init__(self, site: Site, board: Board) -> None:
        self._fernet = record_fernet(site.settings.service_key)
        self._heard: queue.Queue[MqttMessage] = queue.Queue()
        self.bus: MqttBus = site.bus()
        self.bus.subscribe(topics.record(board.id), self._heard.put)

    def next(self) -> tuple[dict[str, Any], bool]:
        """The next record, and whether the broker had kept it."""
        message = self._heard.get(timeout=PATIENCE)
        return json.loads(self._fernet.decrypt(message.payload)), message.retained


def test_a_paired_board_is_in_the_roster_with_its_keys(site: Site) -> None:
    board = site.paired()
    collector = Collector(site, board)
    record, retained = collector.next()
    keys = board.keys
    assert retained
    assert record == {
        "board": board.id,
        "project": site.project,
        "name": "bench 1",
        "active": True,
        "up_enc": keys.up_enc.hex(),
        "up_mac": keys.up_mac.hex(),
        "down_enc": keys.down_enc.hex(),
        "down_mac": keys.down_mac.hex(),
    }
    collector.bus.stop()


def test_the_record_follows_pairing_anew_and_revocation(site: Site) -> None:
    board = site.paired()
    collector = Collector(site, board)
    assert collector.next()[0]["active"]
    new = site.board(site.code(board_id=board.id)).pair()
    assert collector.next()[0]["up_mac"] == new.keys.up_mac.hex()
    site.boards.RevokeBoard(pb.RevokeBoardRequest(board_id=board.id))
    record, _ = collector.next()
    assert not record["active"]
    assert all(len(record[name]) == 64 for name in ("up_enc", "up_mac", "down_enc", "down_mac"))
    assert record["up_mac"] != new.keys.up_mac.hex()
    collector.bus.stop()


def test_records_are_given_again_when_the_broker_forgot_them(embedded_site: Site) -> None:
    """The embedded broker keeps retained messages in memory only."""
    board = embedded_site.paired()
    broker = embedded_site.broker
    assert broker is not None
    board.disconnect()
    broker.stop()
    broker.start()
    embedded_site.deployer.wait_connected(PATIENCE)
    collector = Collector(embedded_site, board)
    assert collector.next()[0]["board"] == board.id
    collector.bus.stop()
