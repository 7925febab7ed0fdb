"""Who gets in at the broker, and what each may touch; both brokers."""

from __future__ import annotations

import queue

import pytest

from services.common import topics
from services.common.errors import NotFound
from services.common.frames import Kind
from services.common.keys import service_password
from services.common.mqtt import MqttMessage
from services.deployer import models
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.board import PATIENCE
from tests.deployer.conftest import Site, wait_for


def revoke(site: Site, board_id: str) -> pb.Board:
    return site.boards.RevokeBoard(pb.RevokeBoardRequest(board_id=board_id)).board


def test_revoking_ends_the_connection_at_once_and_the_login_for_good(site: Site) -> None:
    board, other = site.paired(), site.paired()
    assert revoke(site, board.id).state == pb.BOARD_STATE_REVOKED
    assert board.cut.wait(PATIENCE)
    assert board.connect() != 0
    assert not other.cut.is_set()
    other.report(outbox=2)
    site.until(other, lambda b: b.outbox == 2, "the other board's report")


def test_a_revoked_board_stays_out_after_a_restart(site: Site) -> None:
    board = site.paired()
    revoke(site, board.id)
    site.restart()
    assert board.connect() != 0
    assert site.get(board).state == pb.BOARD_STATE_REVOKED


def test_revoking_erases_the_secret_and_what_was_desired(site: Site) -> None:
    board = site.paired()
    release = site.release()
    site.code(board_id=board.id)
    revoke(site, board.id)
    assert site.get(board).desired_release_id == ""
    with site.deployer._database.session(read_only=True) as session:
        row = session.get_one(models.Board, board.id)
        assert row.secret is None and session.get(models.Pairing, board.id) is None
    kept: queue.Queue[MqttMessage] = queue.Queue()
    bus = site.bus()
    bus.subscribe(f"bl/{board.id}/#", kept.put)
    wait_for(lambda: bus.publish(topics.up(board.id, Kind.CAPTURE), b"last") or not kept.empty(), "a message")
    while (message := kept.get(timeout=PATIENCE)).payload != b"last":  # what the broker kept comes before it
        assert message.topic != topics.down(board.id, Kind.DESIRED), release.id
    bus.stop()


def test_a_board_that_is_being_paired_can_be_revoked(site: Site) -> None:
    board = site.board()
    assert board.connect() == 0
    revoke(site, board.id)
    assert board.cut.wait(PATIENCE)
    assert board.connect() != 0


def test_a_revoked_board_can_be_paired_again(site: Site) -> None:
    board = site.paired()
    revoke(site, board.id)
    again = site.board(site.code(board_id=board.id)).pair()
    assert site.until(again, lambda b: b.state == pb.BOARD_STATE_ONLINE, "online").id == board.id


def test_revoking_a_board_that_does_not_exist(embedded_site: Site) -> None:
    with pytest.raises(NotFound) as caught:
        revoke(embedded_site, "aaaaaaaaaa")
    assert caught.value.reason == "UNKNOWN_BOARD" and "aaaaaaaaaa" in caught.value.message


def test_a_board_touches_its_own_topics_only(site: Site) -> None:
    board, victim = site.paired(), site.paired()
    seen: queue.Queue[MqttMessage] = queue.Queue()
    bus = site.bus()
    bus.subscribe(topics.up("+", Kind.CAPTURE), seen.put)
    wait_for(lambda: victim.publish_raw(Kind.CAPTURE, b"until the subscription is there") or seen.qsize(), "the first")
    victim.publish_raw(Kind.CAPTURE, b"victim's last")
    while seen.get(timeout=PATIENCE).payload != b"victim's last":
        pass
    assert board._client is not None
    board._client.publish(topics.up(victim.id, Kind.CAPTURE), b"forged")
    board._client.publish(topics.record(board.id), b"forged", retain=True)
    board.publish_raw(Kind.CAPTURE, b"its own")
    if not board.cut.wait(0.5):  # mosquitto drops what is denied; the embedded broker may end the connection
        assert seen.get(timeout=PATIENCE).payload == b"its own"
    assert seen.empty()
    bus.stop()


def test_a_wrong_password_and_a_wrong_name_are_refused(site: Site) -> None:
    board = site.paired()
    right = board.secret
    board.secret = bytes(16)
    assert board.connect() != 0
    board.secret, board.id = right, "aaaaaaaaaa"
    assert board.connect() != 0


def test_services_log_in_with_what_the_service_key_gives(embedded_site: Site) -> None:
    login, key = embedded_site.deployer.authenticate, embedded_site.settings.service_key
    assert login("service.collector", service_password(key, "collector"))
    assert not login("service.collector", service_password(key, "deployer"))
    for name in ("service.", "service.Collector", "admin", "", "x" * 5000, "aaaaaaaaaa.pairs", "aaaaaaaaaa\n"):
        assert not login(name, service_password(key, "collector"))
        assert not login(name, "")
