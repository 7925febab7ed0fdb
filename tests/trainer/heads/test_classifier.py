"""The classification head: what its poolings make of a map."""

from __future__ import annotations

import pytest
import torch

from services.common.errors import UnsupportedModel
from services.trainer.config import Pooling
from services.trainer.heads.classifier import ClassifierHead, peaks


def summed(pooling: Pooling) -> ClassifierHead:
    """A head that puts out what its pooling makes of one channel."""
    head = ClassifierHead(1, 1, 0.0, pooling)
    torch.nn.init.ones_(head.linear.weight)
    return head


@pytest.mark.parametrize(
    ("size", "pools"), [((16, 16), 2), ((16, 20), 2), ((12, 12), 1), ((14, 20), 1), ((8, 8), 1), ((32, 32), 2)]
)
def test_at_least_4x4_maxima_are_left(size: tuple[int, int], pools: int) -> None:
    assert len(peaks(*size)) == pools
    assert min(side >> pools for side in size) >= 4


@pytest.mark.parametrize("size", [(7, 7), (7, 10), (4, 4), (6, 6), (9, 16)])
def test_a_map_that_is_too_small_is_refused_with_a_way_out(size: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedModel, match=f"{size[0]}x{size[1]} positions") as caught:
        summed("peaks")(torch.zeros(1, 1, *size))
    assert caught.value.reason == "MAP_TOO_SMALL_FOR_PEAKS" and "pooling average" in caught.value.fix


def test_a_mark_at_one_position_counts_as_its_whole_part() -> None:
    features = torch.zeros(1, 1, 16, 16)
    features[0, 0, 5, 9] = 1.0
    assert summed("average")(features).item() == pytest.approx(1 / 256)
    assert summed("peaks")(features).item() == pytest.approx(1 / 16)


def test_an_even_map_gives_the_same_by_either() -> None:
    features = torch.full((2, 1, 8, 8), 0.7)
    assert summed("peaks")(features).tolist() == summed("average")(features).tolist()
