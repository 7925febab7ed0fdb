"""`boardloop up` ended, killed and started again on the same folder: it goes on where it stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.client import Client
from services.common.errors import Unauthenticated
from services.virtualboard import Profile, VirtualBoards
from tests.e2e.loop import PASSWORD, Person, eventually, first_login
from tests.e2e.pictures import cell
from tests.servers import free_port

ONE_TIME = re.compile(r"one-time password (\S+)")
PAGE = re.compile(r"Page\s+(http\S+)")


class Up:
    """The command in a process of its own."""

    def __init__(self, data: Path, output: Path, page_port: int, mqtt_port: int) -> None:
        own = {"DATA_DIR": data, "HOST": "127.0.0.1", "PORT": page_port, "MQTT_HOST": "127.0.0.1",
               "MQTT_PORT": mqtt_port, "BOARD_HOST": "127.0.0.1"}  # fmt: skip
        variables = {f"BOARDLOOP_{name}": str(value) for name, value in own.items()}
        command = [sys.executable, "-m", "services.cli", "up"]
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=file, stderr=file)
        self.output = output
        self.url = self._read(PAGE)

    def _read(self, pattern: re.Pattern[str]) -> str:
        def found() -> str:
            assert self.process.poll() is None, self.output.read_text()
            match = pattern.search(self.output.read_text())
            return match[1] if match else ""

        return str(eventually(found, f"{pattern.pattern} to be printed"))

    @property
    def one_time_password(self) -> str:
        return self._read(ONE_TIME)

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def up(folder: Path, name: str, ports: tuple[int, int]) -> Iterator[Up]:
    running = Up(folder / "data", folder / f"{name}.log", *ports)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)


def test_a_second_start_continues_where_the_first_stopped_also_after_a_kill(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with VirtualBoards(tmp_path / "boards") as fleet:
        with up(tmp_path, "first", ports) as first:
            one_time = first.one_time_password
            client = first_login(first.url, one_time)
            person = Person.with_project(client)
            station = person.pair(fleet, "line 1", Profile(chunk=1024))
            shots = person.press(station, "functional", [cell("functional", 1)])
            person.wait_outbox_empty(station)
            assert first.end(signal.SIGTERM) == 0
        shots += person.press(station, "functional", [cell("functional", n) for n in (2, 3, 4)])
        with up(tmp_path, "second", ports) as second:
            assert not ONE_TIME.search(second.output.read_text())
            with pytest.raises(Unauthenticated):
                Client.login(second.url, "admin", one_time, "old")
            Client.login(second.url, "admin", PASSWORD, "second").close()
            eventually(lambda: person.stored().total() > 1, "the board to send what it kept")
            second.end(signal.SIGKILL)  # wherever the others are
        with up(tmp_path, "third", ports):
            shots += person.press(station, "functional", [cell("functional", 5)])
            person.wait_outbox_empty(station)
            person.wait_online(station)
            assert person.stored() == Counter(shots)
        client.close()
