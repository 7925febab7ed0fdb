"""Fixtures that every room shares. mosquitto, S3, PostgreSQL are in tests/servers.py, Chromium in tests/browser.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.servers", "tests.browser"]

# torch's threads else spin while they wait for each other, and everything beside them crawls; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden data that is not ours to commit: `../shared`, or where BOARDLOOP_SHARED points."""
    folder = Path(os.environ.get("BOARDLOOP_SHARED", ROOT.parent / "shared"))
    if not (folder / "vectors").is_dir():
        pytest.skip(f"no golden data: {folder}/vectors is absent; set BOARDLOOP_SHARED to the folder that has it")
    return folder
