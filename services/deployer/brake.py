"""A board gets its share of the deployer and no more: one that floods, or whose login was stolen, stops nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.common.frames import Kind
from services.common.logs import logger
from services.common.metrics import counter

__all__ = ["SHARES", "Brake", "Share"]

log = logger(__name__)

BRAKED = counter("deployer_braked", "Frames let go because their board sent too many, by kind.", ("kind",))


@dataclass(frozen=True)
class Share:
    """`burst` frames at once, `each_second` for ever (a token bucket)."""

    burst: float
    each_second: float


WRITTEN = Share(200, 20)  # what costs a transaction
SHARES: Mapping[Kind, Share] = {
    Kind.HELLO: WRITTEN,
    Kind.REPORT: WRITTEN,
    Kind.RESULT: WRITTEN,
    Kind.PULL: Share(2000, 400),  # a K210's bundle has about 500 blocks of 2 KiB
}


class Brake:
    """For one thread. Holds a number for each board and kind that was ever heard of."""

    def __init__(self, shares: Mapping[Kind, Share] = SHARES, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds that only grow."""
        self._shares = shares
        self._clock = clock
        self._left: dict[tuple[str, Kind], tuple[float, float]] = {}  # frames left, and when that was
        self._braked: dict[str, int] = {}

    def admit(self, board_id: str, kind: Kind) -> bool:
        """False: over the board's share; it asks again."""
        share, now = self._shares[kind], self._clock()
        left, at = self._left.get((board_id, kind), (share.burst, now))
        left = min(share.burst, left + (now - at) * share.each_second)
        admitted = left >= 1
        self._left[board_id, kind] = left - admitted, now
        if not admitted:
            self._count(board_id, kind)
        return admitted

    def _count(self, board_id: str, kind: Kind) -> None:
        BRAKED.labels(kind.name).inc()
        self._braked[board_id] = braked = self._braked.get(board_id, 0) + 1
        if braked.bit_count() == 1:  # 1, 2, 4, 8 …: a line now and then
            log.warning("board_braked", board=board_id, kind=kind.name, frames=braked)
