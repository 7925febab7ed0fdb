from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert.awnn.requant import encode, rescale, shift_right


@pytest.mark.parametrize(
    ("factor", "wanted"),
    [(1.0, (32767, 15)), (0.5, (16384, 15)), (1.5, (24576, 14)), (2.0, (16384, 13)), (32767.0, (32767, 0))],
)
def test_a_factor_becomes_the_multiplier_and_shift_of_the_vendors_tool(factor: float, wanted: tuple[int, int]) -> None:
    assert encode(factor) == wanted


def test_a_factor_above_one_is_kept_to_fourteen_bits() -> None:
    for factor in np.geomspace(1.001, 30000, 200):
        multiplier, shift = encode(float(factor))
        assert 0 < multiplier <= 32767 and 0 <= shift <= 14
        assert multiplier / 2**shift == pytest.approx(factor, rel=2**-14)


def test_halves_round_away_from_zero() -> None:
    assert shift_right(np.array([-12, -11, -4, -3, 3, 4, 11, 12]), 3).tolist() == [-2, -1, -1, 0, 0, 1, 1, 2]
    assert rescale(np.array([-100, 100]), (32767, 15)).tolist() == [-100, 100]
    assert rescale(np.array([-5, 5]), (3, 0)).tolist() == [-15, 15]
