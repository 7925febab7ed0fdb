from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.detection.anchor_free import VALUES, decode_anchor_free


def test_a_cell_gives_the_box_around_its_middle() -> None:
    last = np.full((1, VALUES + 2, 4, 8), -20.0)
    last[0, :, 1, 2] = [np.log(0.5), np.log(1.5), np.log(3.5), np.log(0.5), 20, -9, 9]
    (box,) = decode_anchor_free(last, (4, 8), 2)[0]
    assert (box.label, round(box.confidence, 3)) == (1, 1.0)
    assert tuple(box.box) == pytest.approx((2 / 8, 0 / 4, 6 / 8, 2 / 4))


def test_of_two_cells_that_see_one_object_the_surer_stays() -> None:
    last = np.full((1, VALUES + 1, 4, 4), -20.0)
    last[0, :, 1, 1] = [*np.log([1.5, 1.5, 2.5, 2.5]), 2, 0]
    last[0, :, 2, 2] = [*np.log([2.5, 2.5, 1.5, 1.5]), 5, 0]
    found = decode_anchor_free(last.reshape(1, -1), (4, 4), 1)[0]
    assert [round(one.confidence, 3) for one in found] == [0.993]


@pytest.mark.parametrize("outputs", [np.zeros((1, 17)), np.full((1, (VALUES + 1) * 4), np.nan)])
def test_what_is_no_map_of_the_network_is_refused(outputs: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="2 x 2 cells are 24"):
        decode_anchor_free(outputs, (2, 2), 1)
