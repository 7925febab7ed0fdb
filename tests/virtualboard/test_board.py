"""The sim port in a real MicroPython, and the person who holds the board. Each program is a few lines over `port`."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import DeadlineExceeded, FailedPrecondition
from services.virtualboard import Profile, VirtualBoard, camera
from tests.virtualboard.conftest import Maker

PRESSES = """
while True:
    kind = port.button()
    if kind:
        port.show("pressed " + kind)
    port.sleep_ms(10000)
"""
SCAN = """
text = None
while not text:
    text = port.scan_qr()
port.show("read " + text)
"""
CAPTURE = """
with open(port.root + "/shot.jpg", "wb") as f:
    jpeg, width, height = port.capture()
    f.write(jpeg)
port.show("%d x %d" % (width, height))
"""


def test_a_code_before_the_camera_reaches_the_program_as_text(board_with: Maker) -> None:
    board = board_with(SCAN)
    board.look_at(camera.qr_picture("WIFI:T:WPA;S:café;P:geheim;;"))
    assert board.wait_shown("read ") == "read WIFI:T:WPA;S:café;P:geheim;;"


def test_each_kind_of_press_arrives_once_and_ends_a_long_sleep(board_with: Maker) -> None:
    board = board_with(PRESSES)
    for kind in ("short", "long", "hold"):
        board.press(kind)
        board.wait_shown("pressed", timeout=5)
    assert board.texts == ["pressed short", "pressed long", "pressed hold"]


def test_presses_made_while_the_board_is_off_wait_for_it(board_with: Maker) -> None:
    board = board_with("port.show('up')\n" + PRESSES)
    board.wait_shown("up")
    board.kill()
    board.press("short")
    board.press("long")
    board.start()
    board.wait_shown("pressed long")
    assert board.texts == ["up", "up", "pressed short", "pressed long"]


def test_a_capture_is_what_the_camera_sees_and_lies_in_the_boards_storage(board_with: Maker, photo: bytes) -> None:
    board = board_with("while not port.button(): port.sleep_ms(1000)" + CAPTURE)
    board.snap(photo)
    board.wait_shown("224 x 224")
    assert (board.storage / "shot.jpg").read_bytes() == camera.capture(photo)


def test_snap_returns_only_when_the_next_picture_cannot_be_mixed_up_with_it(board_with: Maker, photo: bytes) -> None:
    board = board_with(
        """
        while True:
            if port.button():
                port.sleep_ms(50)
                port.show(port.frame_id(port.frame(32, 16)))
            port.sleep_ms(1000)
        """
    )
    other = camera.qr_picture("other")
    for picture in (photo, other, photo):
        board.snap(picture)
    board.wait_shown(lambda text: True)
    assert board.texts == [camera.frame_id(camera.network_input(p, 32, 16)) for p in (photo, other, photo)]


def test_the_id_of_a_golden_frame_is_the_hash_of_its_pixels(board_with: Maker) -> None:
    board = board_with("port.show(port.frame_id(port.golden_frame(bytes(range(48)), 4, 4)))")
    assert board.wait_shown(lambda text: True) == hashlib.sha256(bytes(range(48))).hexdigest()[:16]


def test_storage_and_chip_number_outlive_a_kill(board_with: Maker) -> None:
    board = board_with(
        """
        import os, binascii
        name = port.root + "/starts"
        starts = 0
        if "starts" in os.listdir(port.root):
            with open(name) as f:
                starts = int(f.read())
        with open(name, "w") as f:
            f.write(str(starts + 1))
        port.show("start %d of %s" % (starts + 1, binascii.hexlify(port.unique_id()).decode()))
        port.sleep_ms(60000)
        """
    )
    chip = board.hardware_id.hex()
    assert len(chip) == 64
    board.wait_shown(f"start 1 of {chip}")
    board.restart()
    board.wait_shown(f"start 2 of {chip}")


def test_reset_starts_the_process_again(board_with: Maker) -> None:
    board = board_with(
        """
        try:
            open(port.root + "/again")
            port.show("second life")
            port.sleep_ms(60000)
        except OSError:
            open(port.root + "/again", "w").close()
            port.reset()
        """
    )
    board.wait_shown("second life")
    assert board.running


@pytest.mark.parametrize(
    ("profile", "call", "error"),
    [
        (Profile(camera_works=False), "port.capture()", "OSError"),
        (Profile(wifi=("home", "right")), "port.wifi('home', 'wrong')", "OSError"),
        (Profile(), "port.load_model(port.root + '/absent.kmodel')", "OSError"),
        (Profile(), "port.infer((1, ''))", "OSError"),
        (Profile(), "port.golden_frame(b'short', 4, 4)", "ValueError"),
    ],
)
def test_hardware_that_fails_raises_on_the_board(board_with: Maker, profile: Profile, call: str, error: str) -> None:
    board = board_with(
        f"""
        try:
            {call}
            port.show("no error")
        except Exception as e:
            port.show(type(e).__name__)
        """,
        profile,
    )
    assert board.wait_shown(lambda text: True) == error


def test_free_storage_can_be_made_scarce(board_with: Maker) -> None:
    board = board_with("while not port.button(): port.sleep_ms(1000)\nport.show('free %d' % port.free())")
    board.set_free(5)
    board.press()
    board.wait_shown("free 5")


def test_a_silent_board_is_reported_with_its_last_texts_and_its_log(board_with: Maker) -> None:
    board = board_with("print('deep inside')\nport.show('almost')\nraise ValueError('broken')")
    with pytest.raises(DeadlineExceeded) as caught:
        board.wait_shown("done", timeout=10)
    assert caught.value.reason == "BOARD_SILENT"
    for word in ("'done'", "almost", "deep inside", "ValueError: broken", "not running"):
        assert word in caught.value.message


def test_a_running_board_cannot_be_started_twice(board_with: Maker) -> None:
    board = board_with(PRESSES)
    with pytest.raises(FailedPrecondition):
        board.start()


# ---- the network cable


class Echo:
    """A TCP server that says every byte back and notes what has come."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: list[bytes] = []  # one entry per connection
        self.ended = threading.Condition()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                heard = bytearray()
                try:
                    while data := connection.recv(65536):
                        heard += data
                        connection.sendall(data)
                except OSError:
                    pass
            with self.ended:
                self.heard.append(bytes(heard))
                self.ended.notify_all()

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.stop()


def talking(port: int) -> str:
    """A program that sends 10,000 bytes, shows what came back, and begins again after a lost link."""
    return f"""
        def exactly(link, count):
            got = b""
            while len(got) < count:
                part = link.recv(count - len(got))
                if not part:
                    return got
                got += part
            return got

        while True:
            while not port.button():
                port.sleep_ms(1000)
            try:
                link = port.connect("127.0.0.1", {port})
                link.send(b"x" * 10000)
                port.show("back: %d" % len(exactly(link, 10000)))
                link.close()
            except OSError:
                port.show("no link")
        """


def test_a_board_talks_over_its_own_tcp_connection(board_with: Maker, echo: Echo) -> None:
    board = board_with(talking(echo.port))
    board.press()
    board.wait_shown("back: 10000")
    with pytest.raises(FailedPrecondition) as caught:
        board.unplug()
    assert caught.value.reason == "NO_CABLE"


def test_the_cable_can_be_pulled_in_the_middle_of_a_frame_and_put_back(board_with: Maker, echo: Echo) -> None:
    board = board_with(talking(echo.port), cable=True)
    board.unplug(after=5000)
    board.press()
    text = board.wait_shown(lambda text: True)
    assert text == "no link" or int(text.split()[1]) < 10000
    assert not board.plugged
    with echo.ended:
        assert echo.ended.wait_for(lambda: echo.heard, 5)
    assert 0 < len(echo.heard[0]) <= 5000
    board.plug()
    board.press()
    board.wait_shown("back: 10000")


def test_without_the_cable_nothing_comes_through(board_with: Maker, echo: Echo) -> None:
    board = board_with(talking(echo.port), cable=True)
    board.unplug()
    board.press()
    assert board.wait_shown(lambda text: True) in ("no link", "back: 0")
    assert echo.heard == []


def test_a_half_duplex_link_loses_what_came_before_a_send(board_with: Maker, echo: Echo) -> None:
    program = f"""
        link = port.connect("127.0.0.1", {echo.port})
        link.send(b"first")
        while not link.own.poll(100):
            pass
        link.send(b"second")
        got = b""
        while len(got) < 6:
            got += link.recv(20)
        port.show("got " + got.decode())
        """
    assert board_with(program, Profile(half_duplex=True)).wait_shown("got") == "got second"
    assert board_with(program).wait_shown("got").startswith("got first")


def test_recv_gives_nothing_after_a_second_and_at_once_when_the_key_is_pressed(board_with: Maker, echo: Echo) -> None:
    board = board_with(
        f"""
        link = port.connect("127.0.0.1", {echo.port})
        begin = port.ticks_ms()
        nothing = link.recv(10)
        port.show("waited %d for %d" % (port.ticks_diff(port.ticks_ms(), begin), len(nothing)))
        while not port.button():
            link.recv(10)
        port.show("taken")
        """
    )
    waited = int(board.wait_shown("waited").split()[1])
    assert 900 <= waited < 3000
    board.press(wait=5)
    board.wait_shown("taken")


def processes_of(board: VirtualBoard) -> list[Path]:
    token = board._token.encode()
    return [p for p in Path("/proc").glob("[0-9]*/environ") if token in read_or_nothing(p)]


def read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_no_process_is_left_after_stop(board_with: Maker) -> None:
    board = board_with("port.show('up')\nport.sleep_ms(60000)")
    board.wait_shown("up")
    assert len(processes_of(board)) == 1
    board.stop()
    assert processes_of(board) == []


# ---- the chip


def test_the_board_infers_what_the_chips_simulator_gives_for_that_very_file(board_with: Maker, shared: Path) -> None:
    vectors = shared / "vectors" / "kmodel_v3"
    board = board_with(
        """
        import json
        while not port.button():
            port.sleep_ms(1000)
        port.load_model(port.root + "/ld5.kmodel")
        results = []
        with open(port.root + "/golden", "rb") as file:
            for _ in range(3):
                results.append(port.infer(port.golden_frame(file.read(3 * 128 * 128), 128, 128)))
        port.unload_model()
        port.show(json.dumps(results))
        """
    )
    (board.storage / "ld5.kmodel").write_bytes((vectors / "ld5.kmodel").read_bytes())
    golden = np.load(vectors / "ld5.npz")
    (board.storage / "golden").write_bytes(golden["input_u8_chw"].tobytes())
    board.press()
    results = json.loads(board.wait_shown("["))
    np.testing.assert_allclose(results, golden["output_f32"], rtol=1e-6, atol=1e-6)


def test_a_file_that_the_chip_refuses_is_a_valueerror_on_the_board(board_with: Maker) -> None:
    board = board_with(
        """
        with open(port.root + "/m.kmodel", "wb") as file:
            file.write(b"no model")
        try:
            port.load_model(port.root + "/m.kmodel")
        except ValueError as error:
            port.show("refused: " + str(error))
        """
    )
    assert len(board.wait_shown("refused: ")) > 20
