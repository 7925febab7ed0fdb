"""Pairing: interrupted anywhere, expired, used twice, repeated for a board that exists."""

from __future__ import annotations

import pytest

from services.common.frames import Kind
from services.common.keys import PairingCode
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.board import Board
from tests.deployer.conftest import Site

OTHER_HARDWARE = "ffeeddccbbaa9988"


def test_a_code_fits_a_small_camera_and_names_the_broker(embedded_site: Site) -> None:
    request = pb.CreatePairingRequest(project_id="p", name="bench 1", host="192.168.100.200", port=18831)
    made = embedded_site.boards.CreatePairing(request)
    code = PairingCode.decode(made.code)
    assert len(made.code) <= 64
    assert (code.host, code.port, code.board_id) == ("192.168.100.200", 18831, made.board.id)
    assert made.board.state == pb.BOARD_STATE_PAIRING
    assert 590 < made.expires_at.seconds - embedded_site.clock().timestamp() < 601


def test_pairing_gives_the_board_a_secret_of_its_own(site: Site) -> None:
    board = site.board()
    code_secret = board.secret
    board.pair()
    assert board.secret != code_secret
    known = site.get(board)
    assert (known.hardware, known.firmware, known.board_type) == (board.hardware, "test 1.0", "k210")


STEPS = ["connected", "hello sent", "welcome not stored", "secret stored", "connected under S", "hello under S sent"]


def walk(board: Board, step: str) -> None:
    """Goes as far as the step, then the power fails; what the board has stored stays."""
    assert board.connect() == 0
    if step == "hello sent":
        board.say_hello()
    if STEPS.index(step) >= STEPS.index("welcome not stored"):
        welcome = board.hello()
        if step != "welcome not stored":
            board.store(welcome)
    if STEPS.index(step) >= STEPS.index("connected under S"):
        assert board.connect() == 0
    if step == "hello under S sent":
        board.hello()
    board.drop()


@pytest.mark.parametrize("restart", [False, True], ids=["", "deployer restarts too"])
@pytest.mark.parametrize("step", STEPS)
def test_a_board_that_loses_power_while_pairing_goes_on(embedded_site: Site, step: str, restart: bool) -> None:
    board = embedded_site.board()
    walk(board, step)
    if restart:
        embedded_site.restart()
    assert board.connect() == 0
    welcome = board.hello()
    if not board.paired:
        board.store(welcome)
        assert board.connect() == 0
        welcome = board.hello()
    assert "renew" not in welcome
    embedded_site.until(board, lambda b: b.state == pb.BOARD_STATE_ONLINE, "online")


@pytest.mark.parametrize("step", ["welcome not stored", "secret stored"])
def test_so_it_does_at_mosquitto(mosquitto_site: Site, step: str) -> None:
    board = mosquitto_site.board()
    walk(board, step)
    board.pair() if not board.paired else board.connect()
    assert "renew" not in board.hello()


def test_a_begun_pairing_may_be_finished_after_the_code_has_expired(site: Site) -> None:
    board = site.board()
    walk(board, "welcome not stored")
    site.clock.forward(minutes=11)
    site.deployer.sweep()
    board.pair()
    assert site.get(board).hardware == board.hardware


def test_but_not_days_later(site: Site) -> None:
    board = site.board()
    walk(board, "secret stored")
    site.clock.forward(hours=25)
    site.deployer.sweep()
    assert board.connect() != 0


def test_saying_hello_again_and_again_prolongs_no_code(embedded_site: Site) -> None:
    board = embedded_site.board()
    walk(board, "welcome not stored")
    embedded_site.clock.forward(hours=20)
    walk(board, "welcome not stored")
    embedded_site.clock.forward(hours=5)
    assert board.connect() != 0


def test_an_expired_code_is_no_login(site: Site) -> None:
    board = site.board()
    site.clock.forward(minutes=11)
    site.deployer.sweep()
    assert board.connect() != 0


def test_expired_codes_are_swept_out(embedded_site: Site) -> None:
    board = embedded_site.board()
    assert board.id not in embedded_site.deployer._pairings.sweep()
    embedded_site.clock.forward(minutes=11)
    assert board.id in embedded_site.deployer._pairings.sweep()
    assert embedded_site.deployer._pairings.sweep() == []


def test_a_code_that_expires_while_the_board_is_connected_is_refused(embedded_site: Site) -> None:
    board = embedded_site.board()
    assert board.connect() == 0
    embedded_site.clock.forward(minutes=11)
    board.say_hello()
    assert board.refused.get(timeout=10) == "BAD_MAC"
    assert embedded_site.get(board).hardware == ""


def test_a_code_is_used_up_by_the_first_board_that_finishes(site: Site) -> None:
    code = site.code()
    site.board(code).pair()
    assert site.board(code, hardware=OTHER_HARDWARE).connect() != 0


def test_a_second_board_cannot_take_a_code_that_is_being_used_up(site: Site) -> None:
    code = site.code()
    first, second = site.board(code), site.board(code, hardware=OTHER_HARDWARE)
    walk(first, "secret stored")
    assert second.connect() == 0
    second.say_hello()
    assert second.answer(Kind.ACK).body == {"for": "", "reason": "UNKNOWN_BOARD"}
    second.disconnect()
    assert first.connect() == 0
    first.hello()
    assert site.get(first).hardware == first.hardware


def test_a_hello_that_comes_twice_is_answered_with_the_same_nonce(embedded_site: Site) -> None:
    board = embedded_site.board()
    board.connect()
    nonce = board.say_hello()
    once = board.answer(Kind.WELCOME).body
    board.say_hello(nonce)
    again = board.answer(Kind.WELCOME).body
    assert once["renew"] == again["renew"] and again["session"] > once["session"]


def test_whichever_secret_of_a_code_the_board_kept_it_may_use(embedded_site: Site) -> None:
    board = embedded_site.board()
    board.connect()
    kept = board.hello()
    board.hello()  # the answer to this one is lost
    board.store(kept)
    assert board.connect() == 0
    board.hello()
    assert embedded_site.get(board).state != pb.BOARD_STATE_PAIRING


def test_pairing_again_ends_the_old_secret_once_the_new_one_is_used(site: Site) -> None:
    old = site.paired()
    site.clock.forward(seconds=1)
    new = site.board(site.code(board_id=old.id), hardware=OTHER_HARDWARE)
    assert old.connect() == 0, "a code that is only shown changes nothing"
    old.hello()
    old.disconnect()
    new.pair()
    assert old.connect() != 0
    assert site.get(new).hardware == OTHER_HARDWARE
    new.report(outbox=5)
    site.until(new, lambda b: b.outbox == 5, "the report under the new keys")


def test_the_old_secret_is_good_again_when_the_new_pairing_is_never_finished(site: Site) -> None:
    old = site.paired()
    old.disconnect()
    walk(site.board(site.code(board_id=old.id)), "welcome not stored")
    site.clock.forward(hours=25)
    site.deployer.sweep()
    assert old.connect() == 0
    old.hello()


def test_a_new_code_voids_the_one_before(site: Site) -> None:
    first = site.board()
    site.code(board_id=first.id)
    assert first.connect() != 0


def test_the_board_tells_its_own_type(embedded_site: Site) -> None:
    assert embedded_site.get(embedded_site.paired(board_type="v831")).board_type == "v831"
