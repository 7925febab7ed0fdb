from __future__ import annotations

import pytest

from services.common.errors import TooManyRequests
from services.gateway import limiter
from services.gateway.limiter import LoginLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_refused_after_too_many_failures_and_let_in_later(clock: Clock) -> None:
    brake = LoginLimiter(limit=3, window=60, clock=clock)
    for _ in range(3):
        brake.check("guesser")
        brake.failed("guesser")
        clock.now += 10
    with pytest.raises(TooManyRequests) as caught:
        brake.check("guesser")
    assert caught.value.metadata == {"retry_after_seconds": "30"}
    brake.check("somebody else")
    clock.now += 30
    brake.check("guesser")


def test_success_forgets_failures(clock: Clock) -> None:
    brake = LoginLimiter(limit=2, window=60, clock=clock)
    brake.failed("person")
    brake.succeeded("person")
    brake.failed("person")
    brake.check("person")


def test_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "MAX_KEYS", 10)
    brake = LoginLimiter(limit=2, window=60, clock=clock)
    for number in range(100):
        brake.failed(str(number))
        clock.now += 10
    assert len(brake._failures) <= 10
