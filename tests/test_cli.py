"""The `boardloop` command as a person meets it: a process, its words, its exit status."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from services.allinone import free_port

SECONDS = 60


def boardloop(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)


@contextmanager
def up(folder: Path) -> Iterator[tuple[str, str]]:
    """The page's address and what was printed; ended as by Ctrl-C, and checked to end well."""
    ports = {"BOARDLOOP_PORT": str(free_port()), "BOARDLOOP_MQTT_PORT": str(free_port())}
    environment = {**os.environ, **ports, "BOARDLOOP_DATA_DIR": str(folder), "BOARDLOOP_MQTT_HOST": "127.0.0.1"}
    command = [sys.executable, "-m", "services.cli", "up"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        try:
            yield f"http://127.0.0.1:{ports['BOARDLOOP_PORT']}", printed
        finally:
            process.send_signal(signal.SIGINT)
            try:
                status = process.wait(SECONDS)
            finally:
                process.kill()  # else a process that does not end would hold the whole run
    assert status == 0


def test_up_serves_a_page_and_tells_the_password_once(tmp_path: Path) -> None:
    with up(tmp_path / "data") as (url, printed):
        assert re.search(r"one-time password \S+", printed)
        assert url in printed
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    with up(tmp_path / "data") as (_, printed):
        assert "password" not in printed


def test_its_folder_is_nobody_elses(tmp_path: Path) -> None:
    with up(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        second = boardloop("up", BOARDLOOP_DATA_DIR=str(tmp_path / "data"))
    assert second.returncode == 1
    assert "DATA_IN_USE" in second.stderr and "BOARDLOOP_DATA_DIR" in second.stderr and "Traceback" not in second.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with up(tmp_path / "one") as (url, _):
        port = url.rpartition(":")[2]
        free = str(free_port())
        data = str(tmp_path / "two")
        answer = boardloop("up", BOARDLOOP_PORT=port, BOARDLOOP_MQTT_PORT=free, BOARDLOOP_DATA_DIR=data)
    assert answer.returncode == 1
    assert "BOARDLOOP_PORT" in answer.stderr and port in answer.stderr and "Traceback" not in answer.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    answer = boardloop("up", BOARDLOOP_PORT="many", BOARDLOOP_DATA_DIR=str(tmp_path))
    assert answer.returncode == 1
    assert "BOARDLOOP_PORT: Input should be a valid integer" in answer.stderr and "Traceback" not in answer.stderr


def test_sign_says_when_nobody_answers(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    answer = boardloop("sign", "0" * 32, "--key", str(key), "--url", f"http://127.0.0.1:{free_port()}")
    assert answer.returncode == 1
    assert "does not answer" in answer.stderr and "Is Boardloop up?" in answer.stderr


def test_convert_says_what_is_wrong_in_one_message(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(b"no network at all")
    (tmp_path / "pictures").mkdir()
    for more, word in ((["--target", "z80"], "UNKNOWN_TARGET"), (["--target", "web-onnx"], "--images")):
        answer = boardloop("convert", str(model), *more)
        assert answer.returncode == 1
        assert word in answer.stderr and "Traceback" not in answer.stderr and len(answer.stderr.splitlines()) < 4


def test_targets_are_listed() -> None:
    answer = boardloop("targets", COLUMNS="200")
    assert answer.returncode == 0 and "k210-kmodel-v3" in answer.stdout and "Kendryte K210" in answer.stdout


def test_weights_of_a_backbone_that_has_none_are_refused_by_name() -> None:
    done = boardloop("weights", "resnet18_1.0")
    assert done.returncode == 2
    assert "resnet18_1.0" in done.stderr and "efficientnet_lite2" in done.stderr and "mobilenet_v1" in done.stderr
