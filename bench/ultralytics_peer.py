"""Ultralytics in a Python of its own: it needs torchvision and OpenCV, which Boardloop does without.

peer_python(cache) ──► <cache>/ultralytics-<version>/bin/python  ultralytics_worker.py  TASK  {…}  ──► one JSON line
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from services.common.errors import Unavailable

__all__ = ["VERSION", "peer_python", "run_peer"]

VERSION = "8.4.190"
PACKAGES = ("torch==2.13.0", f"ultralytics=={VERSION}")
WORKER = Path(__file__).with_name("ultralytics_worker.py")
PIP_SECONDS = 1800


def peer_python(cache_dir: Path) -> Path:
    """A Python that has Ultralytics, some 1.5 GB, installed by pip at the first call. Unavailable when pip fails."""
    folder = cache_dir / f"ultralytics-{VERSION}"
    python = folder / "bin" / "python"
    if not python.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(suffix=".part", dir=cache_dir))
        try:
            _run([sys.executable, "-m", "venv", str(part)], 300)
            pip = [str(part / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, *PACKAGES], PIP_SECONDS)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return python


def run_peer(cache_dir: Path, task: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What ultralytics_worker.py answers to `task`. Unavailable with the last thing it said when it fails."""
    folder = cache_dir / "bench" / "ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    said = _run([str(peer_python(cache_dir)), str(WORKER), task, json.dumps(asked)], None, cwd=folder)
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def _run(command: list[str], limit: float | None, cwd: Path | None = None) -> str:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False, cwd=cwd, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise _unavailable(f"no answer in {limit} s") from error
    if done.returncode:
        raise _unavailable((done.stderr.strip().splitlines() or ["no message"])[-1])
    return done.stdout


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "ULTRALYTICS_UNAVAILABLE",
        f"Ultralytics {VERSION} does not run here: {why}.",
        fix="Check the network and pip's index, or leave this part out with --only.",
    )
