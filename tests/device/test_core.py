"""The core's modules, each by a script that a real MicroPython and this CPython run alike."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.device.conftest import Interpreter


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("golden.py", "golden bytes read"),
        ("mqtt_client.py", "mqtt client works"),
        ("storage_cuts.py", "no power cut hurts"),
    ],
)
def test_script(interpreter: Interpreter, script: str, said: str) -> None:
    assert interpreter.run(script).endswith(said + "\n")


def test_a_new_name_is_on_the_disk_where_the_platform_can_say_so(tmp_path: Path) -> None:
    """Linux (V831): the file is synced before it gets its name, the folder after."""
    out = Interpreter([sys.executable, "-B"], "cpython").run("folder_sync.py", tmp_path)
    document, model = ["sync file", "rename 1.blc", "sync folder"], ["sync file", "sync folder"]
    assert out.splitlines() == [*document, *document, "model", *model, *model, "True"]


@pytest.mark.parametrize("kind", ["posix", "refuse", "fat"])
def test_a_release_and_a_power_cut_anywhere(micropython: Interpreter, kind: str) -> None:
    assert micropython.run("update_cuts.py", KINDS=kind, timeout=100).endswith("always a whole model\n")
