"""The golden files are what tests/golden/make.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_golden_files_are_up_to_date(tmp_path: Path) -> None:
    inputs = ("make.py", "picture.jpg", "TEST_ONLY_release_key.pem")
    for name in inputs:
        (tmp_path / name).write_bytes((GOLDEN / name).read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "make.py")], check=True, timeout=60)
    committed = {
        path.name: path.read_bytes() for path in GOLDEN.iterdir() if path.is_file() and path.name != "README.md"
    }
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == committed
