"""The K210 ports in a real MicroPython over a fake firmware (fakes/k210), the V831 port in CPython over fakes/v831."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEVICE = HERE.parents[1] / "device"
HEAD = """
import sys
sys.path.insert(0, FAKES)
import rig
from rig import clock, raises
rig.firmware()
"""
Runner = Callable[[str], None]


def run_in_micropython(program: str, folder: Path) -> None:
    """Runs `program` after the fake firmware is in place; an assert that fails in it fails the test with its trace."""
    script = folder / "program.py"
    head = HEAD.replace("FAKES", repr(str(HERE / "fakes" / "k210")))
    script.write_text(head + textwrap.dedent(program) + "\nprint('reached the end')\n")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "micropython_unix", "-X", "heapsize=2M", str(script)],
        env=dict(os.environ, MICROPYPATH=str(DEVICE)),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.endswith("reached the end\n"), done.stdout + done.stderr


@pytest.fixture
def micropython(tmp_path: Path) -> Runner:
    return lambda program: run_in_micropython(program, tmp_path)


@pytest.fixture(params=["maixpy", "canmv"])
def k210(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    """Runs a program, in which `port` is the port, once for each of the two firmwares."""
    return lambda program: run_in_micropython(
        f"port = rig.port('{request.param}')\n{textwrap.dedent(program)}", tmp_path
    )
