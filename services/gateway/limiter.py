"""The brake on guessed passwords: failed logins per key in a sliding window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from services.common.errors import TooManyRequests

__all__ = ["LoginLimiter"]

MAX_KEYS = 10_000  # bounded memory under a flood of addresses


class LoginLimiter:
    """Refuses a key after `limit` failures within `window` seconds. Thread-safe; one process's memory."""

    def __init__(self, limit: int = 8, window: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Raises TooManyRequests LOGIN_RATE_LIMIT while `key` has failed too often."""
        with self._lock:
            failures = self._recent(key)
            if len(failures) < self._limit:
                return
            wait = max(1, round(failures[0] + self._window - self._clock()))
        raise TooManyRequests(
            "LOGIN_RATE_LIMIT",
            f"Too many failed logins: {self._limit} in {round(self._window / 60)} minutes.",
            fix=f"Try again in {wait} seconds.",
            retry_after_seconds=str(wait),
        )

    def failed(self, key: str) -> None:
        """Counts a failure of `key`."""
        with self._lock:
            if len(self._failures) >= MAX_KEYS:
                self._failures = {name: times for name in list(self._failures) if (times := self._recent(name))}
            self._failures.setdefault(key, deque(maxlen=self._limit)).append(self._clock())

    def succeeded(self, key: str) -> None:
        """Forgets the failures of `key`."""
        with self._lock:
            self._failures.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        failures = self._failures.get(key, deque())
        oldest = self._clock() - self._window
        while failures and failures[0] <= oldest:
            failures.popleft()
        return failures
