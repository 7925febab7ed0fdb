"""Feeds: one poller per question, none when nobody listens, and no value lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.testing import capture_logs

from services.common.errors import Unavailable
from services.gateway.live import Feed

SOON = 5.0  # seconds until a test gives up
QUICK, NEVER = 0.01, 3600.0


class Source:
    """What a feed asks; counts how often."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def listener(queue: asyncio.Queue[int]) -> Callable[[int], Awaitable[None]]:
    async def show(value: int) -> None:
        queue.put_nowait(value)

    return show


async def take(queue: asyncio.Queue[int], count: int) -> list[int]:
    return [await asyncio.wait_for(queue.get(), SOON) for _ in range(count)]


def test_only_changes_are_told() -> None:
    async def scene() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        subscription = Feed(Source(1, 1, 2, 2, 2, 3), QUICK).subscribe(listener(queue))
        assert await take(queue, 3) == [1, 2, 3]
        subscription.end()

    asyncio.run(scene())


def test_two_listeners_share_one_poller_and_the_second_gets_the_known_value() -> None:
    async def scene() -> None:
        source = Source(1)
        feed = Feed(source, NEVER)
        first: asyncio.Queue[int] = asyncio.Queue()
        second: asyncio.Queue[int] = asyncio.Queue()
        one = feed.subscribe(listener(first))
        assert await take(first, 1) == [1]
        two = feed.subscribe(listener(second))
        assert await take(second, 1) == [1]
        assert first.empty() and source.asked == 2
        one.end()
        two.end()

    asyncio.run(scene())


def test_nobody_listens_nobody_asks() -> None:
    async def scene() -> None:
        source = Source(1)
        feed = Feed(source, QUICK)
        queue: asyncio.Queue[int] = asyncio.Queue()
        feed.subscribe(listener(queue)).end()
        before = source.asked
        for _ in range(5):
            await asyncio.sleep(QUICK)
        assert source.asked == before
        again = feed.subscribe(listener(queue))
        assert await take(queue, 1) == [1]
        again.end()

    asyncio.run(scene())


def test_a_service_that_is_away_does_not_end_the_feed() -> None:
    async def scene() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        subscription = Feed(Source(1, Unavailable("AWAY", "away"), 2), QUICK).subscribe(listener(queue))
        assert await take(queue, 2) == [1, 2]
        subscription.end()

    asyncio.run(scene())


def test_a_listener_whose_own_question_failed_is_told_again() -> None:
    async def scene() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        failures = [Unavailable("AWAY", "away")]

        async def show(value: int) -> None:
            if failures:
                raise failures.pop()
            queue.put_nowait(value)

        subscription = Feed(Source(1), QUICK).subscribe(show)
        assert await take(queue, 1) == [1]
        subscription.end()

    with capture_logs() as lines:
        asyncio.run(scene())
    assert [line["event"] for line in lines] == ["page not up to date"]


def test_a_broken_listener_does_not_disturb_the_others() -> None:
    async def scene() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def broken(value: int) -> None:
            raise RuntimeError("a bug in a page")

        feed = Feed(Source(1, 2), QUICK)
        subscriptions = [feed.subscribe(broken), feed.subscribe(listener(queue))]
        assert await take(queue, 2) == [1, 2]
        for subscription in subscriptions:
            subscription.end()

    with capture_logs() as lines:
        asyncio.run(scene())
    assert lines[0]["event"] == "page failed to show a value"
