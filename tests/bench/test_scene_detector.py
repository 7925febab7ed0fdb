"""The detector of the benchmarks is one that a job trains, and is trained once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import scene_detector, scene_job
from bench.scenes import LABELS


def test_it_is_trained_once_as_a_job_does(stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_detector, "stamps_folder", lambda cache: stamps)
    for module, name, count in ((scene_detector, "TRAIN_SCENES", 24), (scene_job, "CURVE_SCENES", 4)):
        monkeypatch.setattr(module, name, count)
    epochs: list[int] = []

    def tell(event: dict) -> None:
        if event["type"] == "epoch":
            epochs.append(event["steps"])

    first, again = (
        scene_detector.train_scene_detector(4, size=96, backbone="tiny_cnn", tell=tell, cache_dir=tmp_path)
        for _ in range(2)
    )
    assert epochs == [2, 2]  # 4 steps of 16 of 24 scenes
    assert first.graph.labels == LABELS and first.train_seconds == again.train_seconds
    some = first.test.images[:2]
    assert np.array_equal(first.graph.run_float(some), again.graph.run_float(some))
    assert {path.suffix for path in (tmp_path / "bench").iterdir()} == {".pt", ".seconds"}
