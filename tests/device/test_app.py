"""The whole board against a small server over a real broker."""

from __future__ import annotations

from tests.device.conftest import TestBoard


def test_pairs_and_sends_what_was_pressed(board: TestBoard) -> None:
    out = board.run(PRESSES="short,short,long,short")
    print(out)
    assert board.server.seqs == board.confirmed
    assert len(board.server.stored) == 3
