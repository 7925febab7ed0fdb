"""Logging in, being refused, losing the link: the board stays quiet and patient."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.frames import Frame, Kind
from services.common.keys import BoardKeys
from tests.device.bundle import SIGNER
from tests.device.conftest import Broker, Interpreter, TestBoard, make_broker
from tests.device.fake_server import BOARD, SECRET, FakeServer


def cpu_seconds(board: TestBoard, seconds: float, **environment: object) -> float:
    """CPU time of a board that runs for so long."""
    settings = {"ROOT": board.root, "CODE": board.server.code, "UNTIL": "never"} | environment
    process = board.interpreter.start("board.py", **settings)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    assert process.stdout
    board.output += process.stdout.read()
    process.stdout.close()
    return usage.ru_utime + usage.ru_stime


def test_waits_for_a_missing_broker_without_burning_the_processor(board: TestBoard, broker: Broker) -> None:
    board.pair(SIGNER)
    broker.stop()
    assert cpu_seconds(board, 3) < 0.6
    assert "Offline, next try in 2 s" in board.output


def test_idles_online_without_burning_the_processor(board: TestBoard) -> None:
    board.pair(SIGNER)
    assert cpu_seconds(board, 2) < 0.5
    assert "Online" in board.output


def test_finds_out_that_the_socket_is_closed(board: TestBoard, broker: Broker) -> None:
    """A K210's recv gives b'' for a closed socket as for silence: a probe tells, long before the keep-alive would."""
    board.pair(SIGNER)
    speed = 4
    process = board.interpreter.start("board.py", ROOT=board.root, UNTIL="never", SPEED=speed)
    board.server.wait(lambda: len(board.server.hellos) == 1)
    began = time.monotonic()
    broker.stop()
    broker.start()
    try:
        board.server.wait(lambda: len(board.server.hellos) == 2)
    finally:
        process.kill()
        process.communicate()
    assert time.monotonic() - began < 25 / speed, "the keep-alive alone would have taken longer"


def test_a_lost_welcome_is_asked_for_again_with_a_new_nonce(board: TestBoard) -> None:
    lost: list[Frame] = []

    def lose_first_hello(frame: Frame) -> bool:
        if frame.kind is Kind.HELLO and not lost:
            lost.append(frame)
            return True
        return False

    board.server.drop = lose_first_hello
    board.run(UNTIL="online", SPEED=10)
    assert len(lost) == 1
    assert len(board.server.hellos) >= 2
    assert len(set(board.server.ivs)) == len(board.server.ivs)


def test_a_late_pairing_answer_does_not_split_the_secrets(board: TestBoard) -> None:
    """The answer to an older HELLO carries another server nonce: only the latest counts, on both sides."""
    waiting: list[Frame] = []

    def answer_twice(frame: Frame) -> bool:
        if frame.kind is Kind.HELLO and board.server.pairing and not waiting:
            waiting.append(frame)
            return True
        if frame.kind is Kind.HELLO and waiting and board.server.pairing:
            board.server._on_hello(waiting[0])
        return False

    board.server.drop = answer_twice
    board.run(UNTIL="online", SPEED=10)
    assert not board.server.pairing


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[Broker, Path]]:
    """A broker that wants passwords; the file of them."""
    folder = tmp_path / "strict"
    folder.mkdir()
    passwords = folder / "passwords"
    lines = [("service", "x"), (f"{BOARD}.pair", BoardKeys.derive(SECRET).mqtt_password)]
    passwords.touch(0o600)
    for user, password in lines:
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password], check=True, capture_output=True)
    broker = make_broker(folder, f"allow_anonymous false\npassword_file {passwords}")
    yield broker, passwords
    broker.stop()


def test_login_names_and_passwords(micropython: Interpreter, strict: tuple[Broker, Path], tmp_path: Path) -> None:
    """<id>.pair under the code's secret; <id> under the board's own, refused until the broker knows it."""
    broker, passwords = strict
    with FakeServer(broker.port, signer=SIGNER, login=("service", "x")) as server:
        board = TestBoard(micropython, server, tmp_path / "card")
        process = micropython.start("board.py", ROOT=board.root, CODE=server.code, UNTIL="online", SPEED=4)
        server.wait(lambda: server.pending is not None)
        assert server.pending
        subprocess.run(
            ["mosquitto_passwd", "-b", str(passwords), BOARD, server.pending.mqtt_password],
            check=True,
            capture_output=True,
        )
        time.sleep(0.5)  # long enough to be refused at least once
        assert broker.process
        broker.process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=30)
    assert f"Login refused: {BOARD}\n" in out
    assert f"Online: {BOARD}" in out


def test_a_code_that_is_refused_gives_the_old_pairing_back(
    micropython: Interpreter, strict: tuple[Broker, Path], tmp_path: Path
) -> None:
    broker, passwords = strict
    with FakeServer(broker.port, login=("service", "x")) as server:
        board = TestBoard(micropython, server, tmp_path / "card")
        board.pair(SIGNER)
        subprocess.run(
            ["mosquitto_passwd", "-b", str(passwords), BOARD, server.keys.mqtt_password],
            check=True,
            capture_output=True,
        )
        assert broker.process
        broker.process.send_signal(signal.SIGHUP)
        expired = f"BL1:127.0.0.1:{broker.port}:{'a' * 10}:{'A' * 26}"
        out = board.run(CODE=expired, PRESSES="hold", AWAKE="Online", UNTIL="back", SPEED=10)
    assert out.count("Login refused: aaaaaaaaaa.pair") >= 1
    assert out.rstrip().endswith("done")
    assert out.count(f"Online: {BOARD}") == 2


def test_hears_of_a_new_label_while_it_is_online(board: TestBoard) -> None:
    board.pair(SIGNER)
    process = board.interpreter.start("board.py", ROOT=board.root, UNTIL="never")
    board.server.wait(lambda: len(board.server.reports) > 0)
    board.server.labels = ["cracked"]
    board.server.announce_project()
    assert process.stdout
    for line in process.stdout:
        if line == "Label: cracked\n":
            break
    process.kill()
    process.communicate()


def test_the_longest_project_there_can_be_reaches_a_board(board: TestBoard) -> None:
    board.server.labels = [
        f"{'𠀀' * 29}{number:03}" for number in range(100)
    ]  # collector.proto: 100 labels of 32 characters
    board.server.project = "𠀀" * 64
    board.pair(SIGNER)
    board.run(PRESSES="short")
    assert json.loads((board.root / "project.json").read_bytes())["labels"] == board.server.labels


def test_a_server_that_restarted_gets_a_new_session_without_being_asked_for_anything(board: TestBoard) -> None:
    """It knows no session any more and answers a REPORT, which nobody waits for, with REPLAYED."""
    board.pair(SIGNER)
    refused: list[Frame] = []

    def forget(frame: Frame) -> bool:
        if frame.kind is Kind.REPORT and not refused:
            refused.append(frame)
            board.server.ack("REPLAYED", "", frame)
            return True
        return False

    board.server.drop = forget
    process = board.interpreter.start("board.py", ROOT=board.root, UNTIL="never")
    try:
        board.server.wait(lambda: len(board.server.hellos) == 2 and len(board.server.reports) == 1)
    finally:
        process.kill()
        process.communicate()
    assert board.server.reports
