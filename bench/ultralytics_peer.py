"""Ultralytics as a rival: it needs torchvision and OpenCV, which Boardloop does without.

run_peer ──► its environment's python  ultralytics_worker.py  TASK  {…}  ──► one JSON line
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.rivals import Rival

__all__ = ["run_peer"]

VERSION = "8.4.190"
ULTRALYTICS = Rival(f"ultralytics-{VERSION}", ("torch==2.13.0", f"ultralytics=={VERSION}"))  # some 1.5 GB
WORKER = Path(__file__).with_name("ultralytics_worker.py")


def run_peer(cache_dir: Path, task: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What ultralytics_worker.py answers to `task`. Unavailable with the last thing it said when it fails."""
    folder = cache_dir / "bench" / "ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    python = ULTRALYTICS.python(cache_dir)
    answer: dict[str, Any] = ULTRALYTICS.answer(python, [str(WORKER), task, json.dumps(asked)], folder)
    return answer
