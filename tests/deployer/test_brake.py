"""One board's flood is its own affair."""

from __future__ import annotations

from services.common.frames import Kind
from services.deployer.brake import Brake, Share
from tests.deployer.conftest import Site


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_a_steady_share_of_each_board_and_kind() -> None:
    clock = Clock()
    brake = Brake({Kind.HELLO: Share(3, 2), Kind.PULL: Share(1, 1)}, clock)
    assert [brake.admit("a", Kind.HELLO) for _ in range(5)] == [True] * 3 + [False] * 2
    assert brake.admit("b", Kind.HELLO) and brake.admit("a", Kind.PULL)
    clock.now += 1
    assert [brake.admit("a", Kind.HELLO) for _ in range(3)] == [True, True, False]
    clock.now += 1000
    assert [brake.admit("a", Kind.HELLO) for _ in range(4)] == [True] * 3 + [False]


def test_a_flood_of_hellos_costs_few_sessions_and_stops_nobody(embedded_site: Site) -> None:
    board, other = embedded_site.paired(), embedded_site.paired()
    for _ in range(1000):
        board.say_hello()
    board.report(outbox=9)
    other.hello()
    embedded_site.until(board, lambda b: b.outbox == 9, "the report behind the flood")
    assert 200 <= board.answers.qsize() < 700
