"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from services.common.errors import DeadlineExceeded

__all__ = ["wait_until"]

T = TypeVar("T")
PAUSE = 0.2  # seconds between two looks


def wait_until(look: Callable[[], T], seconds: float, what: str) -> T:
    """The first true value of `look`. DeadlineExceeded says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > deadline:
            raise DeadlineExceeded("DEMO_TIMEOUT", f"Waited {seconds:.0f} s for {what}.", fix="See the demo's log.txt.")
        time.sleep(PAUSE)
    return value
