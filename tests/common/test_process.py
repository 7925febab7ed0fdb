"""services/common/process.py and the four `python -m services.<name>`."""

from __future__ import annotations

import os
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
