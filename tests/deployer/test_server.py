"""What people ask over gRPC, and the answers to what cannot be right."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.common.frames import Kind
from services.deployer.service import Deployer
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.conftest import Site, wait_for


def test_the_picture_shows_the_code(embedded_site: Site) -> None:
    made = embedded_site.boards.CreatePairing(pb.CreatePairingRequest(project_id="p", name="bench 1"))
    assert zxingcpp.read_barcode(Image.open(io.BytesIO(made.qr_png))).text == made.code
    wifi = embedded_site.boards.CreateWifiCode(pb.CreateWifiCodeRequest(ssid="workshop", password="correct horse"))
    assert zxingcpp.read_barcode(Image.open(io.BytesIO(wifi.qr_png))).text == wifi.code


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ({"name": ""}, "BAD_NAME", "name"),
        ({"name": "x" * 65}, "BAD_NAME", "1 to 64"),
        ({"name": "a\nb"}, "BAD_NAME", "printable"),
        ({"project_id": ""}, "BAD_PROJECT", "project_id"),
        ({"board_type": "K 210"}, "BAD_BOARD_TYPE", "K 210"),
        ({"host": "a-very-long-host-name.example.org"}, "PAIRING_CODE_TOO_LONG", "a-very-long-host-name.example.org"),
        ({"host": "a b"}, "BAD_PAIRING_CODE", "a b"),
        ({"port": 70000}, "BAD_PAIRING_CODE", "70000"),
    ],
)
def test_a_pairing_that_cannot_be(embedded_site: Site, fields: dict[str, Any], reason: str, says: str) -> None:
    before = len(embedded_site.boards.ListBoards(pb.ListBoardsRequest()).boards)
    with pytest.raises(InvalidInput) as caught:
        request = pb.CreatePairingRequest(**{"project_id": "p", "name": "n", **fields})
        embedded_site.boards.CreatePairing(request)
    assert caught.value.reason == reason and says in caught.value.message
    assert len(embedded_site.boards.ListBoards(pb.ListBoardsRequest()).boards) == before


def test_unknown_boards(embedded_site: Site) -> None:
    with pytest.raises(NotFound):
        embedded_site.boards.GetBoard(pb.GetBoardRequest(board_id="aaaaaaaaaa"))
    with pytest.raises(NotFound):
        embedded_site.code(board_id="aaaaaaaaaa")
    with pytest.raises(InvalidInput):
        embedded_site.boards.ListResults(pb.ListResultsRequest(project_id="p", limit=1001))


def test_a_server_that_does_not_know_its_address_says_so(make_site: Callable[..., Site]) -> None:
    site = make_site()
    site.settings.board_host = ""
    with pytest.raises(FailedPrecondition) as caught:
        site.code()
    assert caught.value.reason == "NO_BOARD_HOST" and "BOARDLOOP_BOARD_HOST" in caught.value.fix


def test_boards_are_listed_by_project(embedded_site: Site) -> None:
    boards = [embedded_site.board(), embedded_site.board()]
    listed = embedded_site.boards.ListBoards(pb.ListBoardsRequest(project_id=embedded_site.project)).boards
    assert [one.id for one in listed] == [board.id for board in boards]
    everything = {one.id for one in embedded_site.boards.ListBoards(pb.ListBoardsRequest()).boards}
    assert everything > {board.id for board in boards}


def test_a_board_is_online_until_its_link_breaks(site: Site) -> None:
    board = site.paired()
    seen = site.until(board, lambda b: b.state == pb.BOARD_STATE_ONLINE, "online")
    assert abs(seen.last_seen_at.seconds - site.clock().timestamp()) < 10
    board.drop()
    site.until(board, lambda b: b.state == pb.BOARD_STATE_OFFLINE, "the last will")
    site.restart()
    assert site.get(board).state == pb.BOARD_STATE_OFFLINE


def test_presence_is_known_again_after_a_restart(site: Site) -> None:
    board = site.paired()
    site.restart()
    site.until(board, lambda b: b.state == pb.BOARD_STATE_ONLINE, "online")


def test_results_are_listed_newest_first_and_by_board(site: Site) -> None:
    one, two = site.paired(), site.paired()
    request = pb.ListResultsRequest(project_id=site.project)
    for number, board in enumerate((one, two, one)):
        board.send_json(Kind.RESULT, {"release": "ab" * 16, "logits": [0.0, float(number)], "frame": "0" * 16, "ms": 1})
        wait_for(lambda n=number: len(site.boards.ListResults(request).results) > n, "the result")
    listed = site.boards.ListResults(request).results
    assert [(r.board_id, r.logits[1]) for r in listed] == [(one.id, 2.0), (two.id, 1.0), (one.id, 0.0)]
    request.board_id, request.limit = one.id, 1
    (newest,) = site.boards.ListResults(request).results
    assert newest.logits[1] == 2.0 and newest.top == 1


@pytest.mark.parametrize("logits", [[], ["a"], [1e400], [1e12]])
def test_a_result_that_cannot_be(embedded_site: Site, logits: list[Any]) -> None:
    board = embedded_site.paired()
    board.send_json(Kind.RESULT, {"release": "ab" * 16, "logits": logits, "frame": "0" * 16, "ms": 1})
    assert board.answer(Kind.ACK).body["reason"] == "MALFORMED"


def test_a_deployer_that_was_never_started_can_be_stopped(make_site: Callable[..., Site]) -> None:
    site = make_site()
    Deployer(site.settings).stop()


def test_another_service_key_does_not_open_the_secrets(make_site: Callable[..., Site]) -> None:
    from pydantic import SecretStr

    site = make_site()
    board = site.paired()
    other = site.settings.model_copy(update={"service_key": SecretStr("A" * 43 + "=")})
    stranger = Deployer(other)
    assert not stranger.authenticate(board.id, board.keys.mqtt_password)
    with pytest.raises(FailedPrecondition) as caught:
        stranger._boards.keyring(board.id)
    assert caught.value.reason == "SERVICE_KEY_CHANGED"
    stranger.stop()


def test_no_secret_lies_readable_in_the_database(make_site: Callable[..., Site]) -> None:
    site = make_site()
    board = site.board()
    code_secret = board.secret
    board.pair()
    site.code(board_id=board.id)
    site.stop()
    stored = b"".join(path.read_bytes() for path in site.settings.data_dir.glob("deployer.db*"))
    assert board.id.encode() in stored
    for secret in (code_secret, board.secret):
        assert secret not in stored and secret.hex().encode() not in stored
