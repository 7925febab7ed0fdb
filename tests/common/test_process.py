"""services/common/process.py and the four `python -m services.<name>`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("service", ["collector", "trainer", "deployer", "gateway"])
def test_a_service_that_cannot_start_says_why_in_one_line(service: str, tmp_path: Path) -> None:
    environment = {**os.environ, "BOARDLOOP_RPC_DEADLINE_SECONDS": "soon", "BOARDLOOP_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", f"services.{service}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "BOARDLOOP_RPC_DEADLINE_SECONDS: Input should be a valid number" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


INTERRUPTED = """
import os, signal, sys, threading
from services.common.process import StopSignal

stopped = StopSignal()
main = os.getpid()
asked, ask = os.pipe()
if not os.fork():
    os.close(ask)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    while os.read(asked, 1):
        os.kill(main, NUMBER)
    os._exit(0)

def compete():
    while True:
        pass

sys.setswitchinterval(1e-5)
for _ in range(2):
    threading.Thread(target=compete, daemon=True).start()
for _ in range(2000):
    stopped = StopSignal()
    signal.alarm(10)
    os.write(ask, b"!")
    stopped.wait()
    stopped.wait()  # it has come
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_whenever_it_comes(number: int) -> None:
    """Another process sends it about when the main thread, which other threads keep from running, begins to wait.

    A wait on a lock (threading.Event, SimpleQueue) sleeps for ever in one of the first 250 rounds, in most runs.
    """
    command = [sys.executable, "-c", INTERRUPTED.replace("NUMBER", str(int(number)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
