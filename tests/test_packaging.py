"""What an installed Boardloop must carry besides its Python files."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ONLY_IN_THE_CHECKOUT = {"Dockerfile"}


def test_every_file_beside_the_code_is_package_data() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "services"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to compare with")
    beside = [Path(name) for name in listed.stdout.split() if not name.endswith(".py")]
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["services"]
    carried = {path.relative_to(ROOT) for glob in globs for path in (ROOT / "services").glob(glob)}
    assert {path for path in beside if path.name not in ONLY_IN_THE_CHECKOUT} <= carried
    assert any(path.suffix == ".css" for path in carried)
