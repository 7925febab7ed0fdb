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
import os, sys, threading
from services.common.process import StopSignal

def interrupt(at):
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        if event == "line" and lines == at:
            os.kill(os.getpid(), NUMBER)
        return trace

    return trace

for line in range(1, 31):
    stopped = StopSignal()
    late = threading.Timer(0.1, os.kill, (os.getpid(), NUMBER))  # where the wait has no such line
    late.start()
    sys.settrace(interrupt(line))
    stopped.wait()
    sys.settrace(None)
    stopped.wait()  # it has come
    late.cancel()
    late.join()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_whenever_it_comes(number: int) -> None:
    """Also one that interrupts the main thread on its way into the wait, on whichever line of Python there."""
    command = [sys.executable, "-c", INTERRUPTED.replace("NUMBER", str(int(number)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
