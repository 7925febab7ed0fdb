from __future__ import annotations

from contextlib import ExitStack, suppress

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


class WrongError(Exception):
    pass


def guess(brake: LoginLimiter, *keys: str, ends: type[Exception] | None = WrongError) -> None:
    with suppress(ends or WrongError), brake.attempt(*keys, wrong=WrongError):
        if ends is not None:
            raise ends


def test_a_key_is_refused_after_too_many_failures_and_let_in_later(clock: Clock) -> None:
    brake = LoginLimiter(limit=3, window=60, clock=clock)
    for _ in range(3):
        guess(brake, "guesser")
        clock.now += 10
    with pytest.raises(TooManyRequests) as caught:
        guess(brake, "guesser", "somebody else")
    assert caught.value.metadata == {"retry_after_seconds": "30"}
    guess(brake, "somebody else")
    clock.now += 30
    guess(brake, "guesser")


def test_success_forgets_failures_and_our_own_faults_are_none(clock: Clock) -> None:
    brake = LoginLimiter(limit=2, window=60, clock=clock)
    guess(brake, "person")
    for _ in range(5):
        guess(brake, "person", ends=OSError)
    guess(brake, "person", ends=None)
    guess(brake, "person")
    guess(brake, "person")


def test_guesses_at_the_same_time_are_counted_each(clock: Clock) -> None:
    brake = LoginLimiter(limit=3, window=60, clock=clock)
    with ExitStack() as running:
        for _ in range(3):
            running.enter_context(brake.attempt("guesser", wrong=WrongError))
        with pytest.raises(TooManyRequests):
            guess(brake, "guesser")


def test_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "MAX_KEYS", 10)
    brake = LoginLimiter(limit=2, window=60, clock=clock)
    for number in range(100):
        guess(brake, str(number))
        clock.now += 10
    assert len(brake._failures) <= 10
