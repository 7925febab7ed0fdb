"""Full disks, brokers and databases that go away, and a collector that is killed: nothing is lost and nothing twice."""

from __future__ import annotations

import errno
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.common.broker import EmbeddedBroker
from services.common.captures import CaptureRecord
from services.common.errors import Unavailable
from services.common.frames import AckReason
from tests.collector.boards import ANSWER_SECONDS, WireBoard, make_jpeg
from tests.collector.conftest import World, hashes
from tests.servers import free_port, listens, program, running

Logs = list[MutableMapping[str, Any]]


def reasons_logged(logs: Logs) -> set[tuple[str, str]]:
    return {(line["board"], line["reason"]) for line in list(logs) if line["event"] == "capture_refused"}


# ---------------------------------------------------------------------- full disks


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of its own that can be filled; skips where mounting is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted; run the test as root to see a disk fill up")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes every byte the disk has left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 512, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return ballast


@pytest.fixture(params=["objects", "database"])
def disk_to_fill(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, dict[str, object]]]:
    """A disk of 2 MiB under the objects or under the database, and the settings that put them there."""
    if request.param == "objects":
        with small_disk(tmp_path / "data" / "objects", 2) as disk:
            yield disk, {}
        return
    with small_disk(tmp_path / "database", 2) as disk:
        yield disk, {"database_url": f"sqlite:///{disk}/collector.db"}


def test_a_full_disk_is_told_and_the_capture_taken_later(
    disk_to_fill: tuple[Path, dict[str, object]], make_world: Callable[..., World], logs: Logs
) -> None:
    disk, settings = disk_to_fill
    world = make_world(**settings)
    board = world.board()
    first, second = board.press(), board.press(jpeg=make_jpeg(1, 300, 300))
    assert board.deliver(first) is AckReason.STORED
    ballast = fill(disk)
    assert [board.deliver(second) for _ in range(2)] == [AckReason.STORAGE_FULL] * 2
    assert reasons_logged(logs) == {(board.board_id, "STORAGE_FULL")}
    assert not list((world.settings.data_dir / "objects" / ".tmp").iterdir())
    ballast.unlink()
    assert world.stored() == hashes(first)
    assert board.deliver(second) is AckReason.STORED
    assert world.stored() == hashes(first, second)
    world.stop()  # before its disk goes


# ---------------------------------------------------------------------- what goes away and comes back


class Restartable:
    """A broker that a test stops and starts on one port."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.port = kind, folder, free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._stack = ExitStack()

    def start(self) -> None:
        if self.kind == "embedded":
            broker = EmbeddedBroker("127.0.0.1", self.port, lambda user, password: True)
            broker.start()
            self._stack.callback(broker.stop)
            return
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        command = [program("mosquitto", "apt-get install mosquitto", "/usr/sbin"), "-c", str(config)]
        self._stack.enter_context(running(command, self.folder / "mosquitto.log", listens(self.port)))

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(params=["embedded", "mosquitto"])
def restartable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Restartable]:
    broker = Restartable(request.param, tmp_path)
    broker.start()
    yield broker
    broker.stop()


def test_a_broker_that_is_lost_in_the_middle_of_a_capture(
    restartable: Restartable, service_key: str, tmp_path: Path
) -> None:
    world = World(restartable.url, service_key, tmp_path / "data")
    board = world.board()
    first, second = board.press(), board.press()
    assert board.deliver(first) is AckReason.STORED
    chunks = board.chunks(second.pack(), second.capture_id, 400)
    for chunk in chunks[:3]:
        board.publish(board.seal(chunk.pack()))
    restartable.stop()
    with pytest.raises(Unavailable):
        while True:
            board.publish(board.seal(chunks[3].pack()))
    restartable.start()
    board.projects.get(timeout=ANSWER_SECONDS)  # the collector is back, and says the labels again
    board.publish(board.seal(chunks[-1].pack()))
    answer = board.answer()
    assert answer.reason is AckReason.MISSING
    for index in answer.missing:
        board.publish(board.seal(chunks[index].pack()))
    assert board.answer().reason is AckReason.STORED
    assert world.stored() == hashes(first, second)
    world.close()


def test_a_database_that_is_lost(postgres_url: str, make_world: Callable[..., World], logs: Logs) -> None:
    name = f"lost_{os.getpid()}_{free_port()}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        world = make_world(database_url=postgres_url.rpartition("/")[0] + f"/{name}")
        board = world.board()
        first, second = board.press(), board.press()
        assert board.deliver(first) is AckReason.STORED
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        assert [board.deliver(second) for _ in range(2)] == [AckReason.UNAVAILABLE] * 2
        assert reasons_logged(logs) == {(board.board_id, "UNAVAILABLE")}
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert board.deliver(second) is AckReason.STORED
        assert world.stored() == hashes(first, second)
        world.stop()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_store_that_is_lost(make_world: Callable[..., World], logs: Logs) -> None:
    world = make_world()
    board = world.board()
    first, second = board.press(), board.press()
    assert board.deliver(first) is AckReason.STORED
    folder = world.settings.data_dir / "objects" / "captures"
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("a file where the folder was")
    assert board.deliver(second) is AckReason.UNAVAILABLE
    assert reasons_logged(logs) == {(board.board_id, "UNAVAILABLE")}
    folder.unlink()
    folder.with_name("elsewhere").rename(folder)
    assert board.deliver(second) is AckReason.STORED
    assert world.stored() == hashes(first, second)


# ---------------------------------------------------------------------- a collector that is killed


class Child:
    """`python -m services.collector` on the data of a world whose own collector has stopped."""

    def __init__(self, world: World) -> None:
        settings = world.settings
        self.environment = os.environ | {
            "BOARDLOOP_DATA_DIR": str(settings.data_dir),
            "BOARDLOOP_SERVICE_KEY": world.service_key,
            "BOARDLOOP_MQTT_URL": settings.mqtt_url,
            "BOARDLOOP_GRPC_ADDRESS": "127.0.0.1:0",
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "services.collector"]
        self.process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def deliver_all(board: WireBoard, records: list[CaptureRecord], stored: Callable[[], None]) -> None:
    """What a board does: sends each capture until it is stored, here again after one second instead of five."""
    for record in records:
        while True:
            board.send(record, 400)
            try:
                answers = [board.acks.get(timeout=1)]
            except queue.Empty:
                continue
            while not board.acks.empty():
                answers.append(board.acks.get())
            final = (AckReason.STORED, AckReason.DUPLICATE)
            if any(ack.capture_id == record.capture_id.hex() and ack.reason in final for ack in answers):
                break
        stored()


def test_a_killed_collector_loses_nothing_and_stores_nothing_twice(world: World) -> None:
    boards = [world.board() for _ in range(4)]
    world.stop()
    records = {board.board_id: [board.press("functional") for _ in range(10)] for board in boards}
    arrived = threading.Semaphore(0)
    child = Child(world)
    senders = [
        threading.Thread(target=deliver_all, args=(board, records[board.board_id], arrived.release)) for board in boards
    ]
    for sender in senders:
        sender.start()
    for _ in range(2):
        for _ in range(12):
            assert arrived.acquire(timeout=60)
        assert child.end(signal.SIGKILL) == -signal.SIGKILL
        child.start()
    for sender in senders:
        sender.join(60)
        assert not sender.is_alive()
    assert child.end(signal.SIGTERM) == 0
    assert world.stored() == hashes(*(record for sent in records.values() for record in sent))
