"""Sessions, replay and every kind of wrong frame."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from services.common.frames import Kind, seal_downlink, seal_uplink
from services.common.keys import BoardKeys
from services.common.mqtt import MqttMessage
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.board import Board
from tests.deployer.conftest import Site, wait_for


def test_session_numbers_rise_over_connections_and_restarts(site: Site) -> None:
    board = site.paired()
    seen = [board.session]
    for restart in (False, True, False, True):
        if restart:
            site.restart()
        board.connect()
        board.hello()
        seen.append(board.session)
    assert seen == sorted(set(seen)) and seen[0] >= 1


def test_welcome_tells_time_and_block_size(embedded_site: Site) -> None:
    board = embedded_site.board()
    board.connect()
    welcome = board.hello()
    assert abs(welcome["time"] - embedded_site.clock().timestamp()) < 5
    assert welcome["block"] == 2048
    assert welcome["session"] == 1
    assert len(welcome["signer"]) == 768


def refusal(board: Board) -> str:
    return str(board.answer(Kind.ACK).body["reason"])


def test_a_frame_that_comes_again_is_replayed(site: Site) -> None:
    board = site.paired()
    body = b'{"release": "", "state": "", "reason": "", "outbox": 7, "rejected": 0}'
    frame = seal_uplink(Kind.REPORT, board.session, 1, body, board.keys)
    board.publish_raw(Kind.REPORT, frame)
    site.until(board, lambda b: b.outbox == 7, "the report")
    board.publish_raw(Kind.REPORT, frame)
    assert refusal(board) == "REPLAYED"


def test_no_frame_from_before_a_restart_is_taken_again(site: Site) -> None:
    board = site.paired()
    board.report(outbox=1)
    site.until(board, lambda b: b.outbox == 1, "the report")
    site.restart()
    board.report(outbox=2)
    assert refusal(board) == "REPLAYED"
    board.hello()
    board.report(outbox=3)
    site.until(board, lambda b: b.outbox == 3, "the report in a new session")


def test_a_replayed_hello_changes_nothing_but_the_session(embedded_site: Site) -> None:
    board = embedded_site.paired()
    old = seal_uplink(
        Kind.HELLO, 0, 0, json.dumps(board.hello_body("ab" * 16) | {"firmware": "old"}).encode(), board.keys
    )
    board.publish_raw(Kind.HELLO, old)
    board.answer(Kind.WELCOME)
    board.report(outbox=1)  # in the session the board knows; the one of the replay stays unused
    embedded_site.until(board, lambda b: b.outbox == 1, "the report")
    assert embedded_site.get(board).firmware == "test 1.0"


def test_firmware_and_release_of_a_hello_count_once_its_session_is_used(embedded_site: Site) -> None:
    board = embedded_site.paired()
    release = embedded_site.release()
    board.release = release.id
    board.hello()
    assert embedded_site.get(board).release_id == ""
    result = {"release": release.id, "logits": [1.0, 2.0], "frame": "00" * 8}
    board.send_json(Kind.RESULT, result)
    embedded_site.until(board, lambda b: b.release_id == release.id, "the release")
    assert embedded_site.get_release(release).state == pb.RELEASE_STATE_DONE


def test_hello_from_other_hardware_than_the_paired(site: Site) -> None:
    board = site.paired()
    board.hardware = "ffeeddccbbaa9988"
    board.say_hello()
    assert refusal(board) == "UNKNOWN_BOARD"
    assert site.get(board).hardware == "00112233aabbccdd"


def test_a_board_that_is_pairing_may_say_hello_and_nothing_else(embedded_site: Site) -> None:
    board = embedded_site.board()
    board.connect()
    board.store(board.hello())
    board.connect()  # under the secret it was handed, of which the server has not heard yet
    board.report(outbox=9)
    assert board.refused.get(timeout=10) == "BAD_MAC"
    assert embedded_site.get(board).outbox == 0


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


WRONG: dict[str, tuple[Any, str]] = {
    "wrong MAC": (lambda b: flipped(seal_uplink(Kind.REPORT, b.session, 9, b"{}", b.keys)), "BAD_MAC"),
    "other board's keys": (
        lambda b: seal_uplink(Kind.REPORT, b.session, 9, b"{}", BoardKeys.derive(bytes(16))),
        "BAD_MAC",
    ),
    "cut": (lambda b: seal_uplink(Kind.REPORT, b.session, 9, b"{}", b.keys)[:-5], "MALFORMED"),
    "no frame": (lambda b: b"hello", "MALFORMED"),
    "empty": (lambda b: b"", "MALFORMED"),
    "downlink": (lambda b: seal_downlink(Kind.REPORT, b"{}", b.keys.down_enc, b.keys.down_mac), "BAD_MAC"),
    "other kind": (lambda b: seal_uplink(Kind.RESULT, b.session, 9, b"{}", b.keys), "MALFORMED"),
    "no JSON": (lambda b: seal_uplink(Kind.REPORT, b.session, 9, b"{", b.keys), "MALFORMED"),
    "unknown state": (
        lambda b: seal_uplink(Kind.REPORT, b.session, 9, b'{"release": "", "state": "FLYING"}', b.keys),
        "MALFORMED",
    ),
    "session 0": (lambda b: seal_uplink(Kind.REPORT, 0, 9, b"{}", b.keys), "REPLAYED"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_frame_is_answered_logged_and_changes_nothing(embedded_site: Site, name: str) -> None:
    make, reason = WRONG[name]
    board = embedded_site.paired()
    before = embedded_site.get(board)
    with capture_logs() as lines:
        board.publish_raw(Kind.REPORT, make(board))
        assert refusal(board) == reason
    (line,) = [line for line in lines if line["event"] == "frame_refused"]
    assert (line["board"], line["reason"]) == (board.id, reason)
    board.sequence = 9
    board.report(outbox=before.outbox + 1)
    embedded_site.until(board, lambda b: b.outbox == before.outbox + 1, "the next good report")


def test_a_hello_that_is_not_understood(embedded_site: Site) -> None:
    board = embedded_site.paired()
    for body in (b"{}", b"[1]", b'{"nonce": 5}', json.dumps(board.hello_body("zz" * 16)).encode()):
        board.publish_raw(Kind.HELLO, seal_uplink(Kind.HELLO, 0, 0, body, board.keys))
        assert refusal(board) == "MALFORMED"


def test_an_unknown_board_is_told_in_the_clear(embedded_site: Site) -> None:
    bus, refused = embedded_site.bus(), []
    bus.subscribe("bl/+/down/refused", refused.append)
    with capture_logs() as lines:
        wait_for(lambda: bus.publish("bl/aaaaaaaaaa/up/hello", b"x" * 76) or refused, "the refusal")
    message: MqttMessage = refused[0]
    assert (message.topic, message.payload) == ("bl/aaaaaaaaaa/down/refused", b'{"reason": "UNKNOWN_BOARD"}')
    assert any(line["event"] == "frame_refused" and line["board"] == "aaaaaaaaaa" for line in lines)
    bus.stop()


def test_a_database_that_is_away_is_said_and_nothing_is_lost(mosquitto_site: Site, postgres_url: str) -> None:
    board = mosquitto_site.paired()
    name = mosquitto_site.settings.database_url.rpartition("/")[2]
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        board.say_hello()
        assert refusal(board) == "UNAVAILABLE"
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    board.hello()
    board.report(outbox=4)
    mosquitto_site.until(board, lambda b: b.outbox == 4, "the report")
