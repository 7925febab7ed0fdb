"""The whole board against a small server over a real broker."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest

from services.common.frames import Kind
from tests.device.bundle import SIGNER, Bundle
from tests.device.conftest import Broker, Interpreter, TestBoard
from tests.device.fake_server import TIME


def test_pairs_and_sends_what_was_pressed(interpreter: Interpreter, board: TestBoard) -> None:
    board.interpreter = interpreter
    board.server.signer = SIGNER
    out = board.run(PRESSES="short,short,short,long,short", AWAKE="Label: functional")
    assert board.server.seqs == board.confirmed == [1, 2, 3, 4]
    labels = [record.metadata.label for record in board.server.stored.values()]
    assert labels == ["functional", "functional", "functional", "defective"]
    assert all(0 <= record.metadata.at - TIME <= 60 for record in board.server.stored.values())
    assert "Stored 4, 0 waiting" in out
    assert board.server.states[-2:-1] == [b'{"online": true}']
    identity = json.loads((board.root / "boardloop.json").read_text())
    assert identity["paired"] is True
    assert identity["secret"] != board.server.secret.hex()
    assert identity["signer"] == SIGNER


def test_a_second_start_needs_no_code(board: TestBoard) -> None:
    board.run(UNTIL="online")
    board.run(UNTIL="online", CODE="")
    assert [hello["nonce"] for hello in board.server.hellos] == list({h["nonce"]: 1 for h in board.server.hellos})
    assert not board.server.pairing


def test_wifi_code_then_pairing_code(board: TestBoard) -> None:
    out = board.run(CODE="WIFI:T:WPA;S:workshop;P:wrong;;|WIFI:T:WPA;S:workshop;P:right;;|x|" + board.server.code)
    for text in (
        "WiFi failed: workshop",
        "Joined WiFi workshop",
        "Show the pairing code",
        "Not a Boardloop code",
        "Paired",
    ):
        assert text in out


def test_codes_from_the_card(board: TestBoard) -> None:
    board.root.mkdir()
    codes = {"wifi_code": '{"s": "a", "p": "b"}', "pairing_code": board.server.code, "lang": "zh"}
    (board.root / "boardloop.json").write_text(json.dumps(codes))
    out = board.run(CODE="", UNTIL="online")
    assert "已配对: k7q2mzx4ab" in out
    identity = json.loads((board.root / "boardloop.json").read_text())
    assert identity["wifi"] == {"ssid": "a", "password": "b"}
    assert "pairing_code" not in identity


def test_captures_without_a_connection_arrive_later(board: TestBoard, broker: Broker) -> None:
    board.pair(SIGNER)
    board.run(UNTIL="online")
    broker.stop()
    board.run(online=False, UNTIL="pressed", PRESSES="short,short,long,short")
    assert len(board.confirmed) == 3
    assert not board.server.stored
    broker.start()
    board.run(SPEED=4)
    assert board.server.seqs == board.confirmed


def test_survives_every_trap_of_the_k210(board: TestBoard) -> None:
    """Half-duplex link, flat storage, renames that refuse, one hash at a time, CBC by name, urandom that repeats."""
    traps = {"LINK": "half", "FLAT": 1, "RENAME": "refuse", "FIRMWARE": "k210", "SPEED": 4}
    board.root.mkdir()
    board.server.signer = SIGNER
    board.run(PRESSES="short,short,long,short", JPEG=9000, **traps)
    bundle = Bundle(model_size=30000)
    bundle.publish(board.server)
    board.run(UNTIL="COMMITTED", PRESSES="short,short", **traps)
    board.run(UNTIL="COMMITTED", PRESSES="short,long,long,short", AWAKE="Online", **traps)
    board.run(**traps)  # what was still waiting
    assert board.server.seqs == board.confirmed
    assert len(board.confirmed) == 6
    assert len(board.server.results) == 1
    assert len(set(board.server.ivs)) == len(board.server.ivs) > 40
    nonces = [hello["nonce"] for hello in board.server.hellos]
    assert len(set(nonces)) == len(nonces) >= 4
    assert not [path for path in board.root.iterdir() if path.is_dir()]
    assert "slot-a-model.kmodel" in board.files()


def test_answers_that_the_link_loses_are_asked_for_again(board: TestBoard) -> None:
    board.server.signer = SIGNER
    lossy = {"LINK": "lossy", "SPEED": 20}
    board.run(PRESSES="short,short,short,short", JPEG=9000, **lossy)
    bundle = Bundle(model_size=8000)
    bundle.publish(board.server)
    board.run(UNTIL="COMMITTED", **lossy)
    assert board.server.seqs == board.confirmed == [1, 2, 3, 4]


@pytest.mark.parametrize("rename", ["posix", "refuse", "fat"])
def test_power_cuts_lose_no_capture(board: TestBoard, rename: str) -> None:
    chance = random.Random(rename)
    cuts = 0
    for _ in range(7):
        cuts += board.run_until_power_cut(PRESSES="short,short,short", KILL_AT=chance.randint(1, 25), RENAME=rename)
    board.run(RENAME=rename)
    assert cuts >= 4
    assert set(board.confirmed) <= set(board.server.seqs)
    assert len(set(board.server.seqs)) == len(board.server.seqs)
    assert len(set(board.confirmed)) == len(board.confirmed)


def test_kill_at_any_moment_loses_no_capture(board: TestBoard) -> None:
    chance = random.Random(4)
    for _ in range(6):
        settings = {"ROOT": board.root, "CODE": board.server.code, "PRESSES": "short," * 30}
        process = board.interpreter.start("board.py", **settings)
        time.sleep(chance.uniform(0.05, 1.2))
        process.send_signal(signal.SIGKILL)
        board.output += process.communicate()[0]
    board.run()
    assert set(board.confirmed) <= set(board.server.seqs)
    assert len(set(board.server.seqs)) == len(board.server.seqs)
    assert len(board.confirmed) > 30


def test_a_lost_broker_is_found_again(board: TestBoard, broker: Broker) -> None:
    """In the middle of a transfer the broker goes; the board waits, logs in again, and nothing is lost or doubled."""
    board.pair(SIGNER)
    gone = []

    def lose_it_once(frame: object) -> bool:
        if getattr(frame, "kind", None) is Kind.CAPTURE and not gone:
            gone.append(frame)
            broker.stop()
            broker.start()
        return False

    board.server.drop = lose_it_once
    board.run(PRESSES="short,short", JPEG=30000, SPEED=4)
    assert gone
    assert board.server.seqs == board.confirmed
    assert len(board.server.hellos) == 2


def test_a_code_that_stays_before_the_camera_is_taken_once(board: TestBoard) -> None:
    wifi = "WIFI:T:WPA;S:workshop;P:right;;"
    out = board.run(CODE="|".join([wifi, wifi, wifi, "x", "x", board.server.code]), UNTIL="online")
    assert out.count("Joined WiFi workshop") == 1
    assert out.count("Not a Boardloop code") == 1
