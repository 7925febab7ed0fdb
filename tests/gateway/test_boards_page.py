"""The page Boards: what boards do shows by itself, and pairing codes can be read."""

from __future__ import annotations

import io

import zxingcpp
from PIL import Image
from playwright.sync_api import Locator, expect

from services.rpc.boardloop.deployer.v1 import deployer_pb2 as d
from tests.browser import Tab
from tests.gateway.canned import BOARDS
from tests.gateway.page_site import Site


def test_boards_move_by_themselves(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/boards")
    board = site.world.deployer.boards[BOARDS[1]]
    expect(tab.at("board", id=BOARDS[1], update="DOWNLOADING")).to_contain_text("put aside: 1")
    board.update_state, board.release_id = d.UPDATE_STATE_COMMITTED, board.desired_release_id
    expect(tab.at("board", id=BOARDS[1], update="COMMITTED")).to_contain_text("solar-cells-1")
    board.update_state, board.update_reason = d.UPDATE_STATE_FAILED, "GOLDEN_MISMATCH"
    expect(tab.at("board", id=BOARDS[1], update="FAILED")).to_contain_text("GOLDEN_MISMATCH")
    expect(tab.at("result")).to_have_count(8)
    site.world.deployer.results.insert(0, d.Result(board_id=BOARDS[0], top=1, score=0.91, milliseconds=40))
    expect(tab.at("result").first).to_contain_text("defective")


def test_a_board_is_paired_by_codes_that_a_camera_can_read(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/boards")
    tab.at("pair").click()
    tab.at("wifi-ssid").fill("shop")
    tab.at("wifi-password").fill("secret-wifi")
    tab.at("wifi-show").click()
    assert seen_in(tab.at("wifi-qr")) == "WIFI:T:WPA;S:shop;P:secret-wifi;;"
    tab.at("pair-next").click()
    tab.at("board-name").fill("line 3")
    tab.at("pair-create").click()
    code = seen_in(tab.at("pair-qr"))
    expect(tab.at("pair-code")).to_have_text(code)
    expect(tab.at("pair-countdown")).to_contain_text("Valid for ")
    board = code.split(":")[2]
    expect(tab.at("board", id=board, state="PAIRING")).to_be_visible()
    site.world.deployer.boards[board].state = d.BOARD_STATE_ONLINE
    expect(tab.at("pair-done")).to_contain_text("line 3 is paired and online.")
    tab.at("pair-finish").click()
    expect(tab.at("pairing")).to_be_hidden()


def seen_in(picture: Locator) -> str:
    """What a camera reads from the screen."""
    picture.wait_for()
    codes = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.screenshot(animations="disabled"))))
    return str(codes[0].text)


def test_a_board_is_revoked(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/boards")
    tab.at("board", id=BOARDS[0]).locator('[data-testid="revoke"]').click()
    tab.at("revoke-confirm").click()
    expect(tab.at("board", id=BOARDS[0], state="REVOKED")).to_be_visible()
