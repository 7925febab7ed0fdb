"""The brake on guessed passwords: failed logins per key in a sliding window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    @contextmanager
    def attempt(self, *keys: str, wrong: type[Exception]) -> Iterator[None]:
        """One guess. It counts as failed from its beginning, so that a thousand at once are no way round the limit;
        when it succeeds all failures of `keys` are forgotten, when it ends in an error but `wrong` only this one.

        Raises TooManyRequests LOGIN_RATE_LIMIT while one of the keys has failed too often.
        """
        begun = self._begin(keys)
        try:
            yield
        except wrong:
            raise
        except Exception:
            self._forgive(keys, begun)
            raise
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)

    def _begin(self, keys: tuple[str, ...]) -> float:
        with self._lock:
            now = self._clock()
            for key in keys:
                failures = self._recent(key)
                if len(failures) >= self._limit:
                    raise self._refusal(max(1, round(failures[0] + self._window - now)))
            if len(self._failures) >= MAX_KEYS:
                self._failures = {name: times for name in list(self._failures) if (times := self._recent(name))}
            for key in keys:
                self._failures.setdefault(key, deque(maxlen=self._limit)).append(now)
            return now

    def _forgive(self, keys: tuple[str, ...], begun: float) -> None:
        with self._lock:
            for key in keys:
                if begun in self._failures.get(key, ()):
                    self._failures[key].remove(begun)

    def _refusal(self, wait: int) -> TooManyRequests:
        return TooManyRequests(
            "LOGIN_RATE_LIMIT",
            f"Too many failed logins: {self._limit} in {round(self._window / 60)} minutes.",
            fix=f"Try again in {wait} seconds.",
            retry_after_seconds=str(wait),
        )

    def _recent(self, key: str) -> deque[float]:
        failures = self._failures.get(key, deque())
        oldest = self._clock() - self._window
        while failures and failures[0] <= oldest:
            failures.popleft()
        return failures
