from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from services.trainer.convert.awnn import kernels
from services.trainer.convert.awnn.kernels import Sums, average, max_pool, saturate


def collected(sums: Sums, x: npt.NDArray[np.int8], channels: int) -> npt.NDArray[np.int64]:
    result = np.zeros((channels, x.shape[1], *sums.output(*x.shape[2:])), np.int64)
    for strip, part in sums.strips(x):
        result[:, strip.images, strip.rows] += part
    return result


def slow(x: npt.NDArray[np.int8], weight: npt.NDArray[np.int8], stride: int, padding: int) -> npt.NDArray[np.int64]:
    """Pixel by pixel in whole numbers."""
    c, n, h, w = x.shape
    wide = np.zeros((c, n, h + 2 * padding, w + 2 * padding), np.int64)
    wide[:, :, padding : padding + h, padding : padding + w] = x
    kh, kw = weight.shape[2:]
    oh, ow = (wide.shape[2] - kh) // stride + 1, (wide.shape[3] - kw) // stride + 1
    result = np.zeros((len(weight), n, oh, ow), np.int64)
    for o, i, y, z in itertools.product(range(len(weight)), range(n), range(oh), range(ow)):
        window = wide[:, i, y * stride : y * stride + kh, z * stride : z * stride + kw]
        result[o, i, y, z] = (window * weight[o]).sum()
    return result


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3), (3, 1, 0), (1, 2, 0)]
)
@pytest.mark.parametrize("tile", [1, 400, 1 << 21])
def test_sums_are_those_of_the_definition_however_they_are_tiled(
    monkeypatch: pytest.MonkeyPatch, kernel: int, stride: int, padding: int, tile: int
) -> None:
    monkeypatch.setattr(kernels, "TILE_VALUES", tile)
    rng = np.random.default_rng(kernel)
    x = rng.integers(-128, 128, (3, 2, 9, 8)).astype(np.int8)
    weight = rng.integers(-127, 128, (4, 3, kernel, kernel)).astype(np.int8)
    np.testing.assert_array_equal(collected(Sums(weight, stride, padding), x, 4), slow(x, weight, stride, padding))


def test_long_sums_are_exact() -> None:
    """127 * -128 * 9000 needs 28 bits, float32 has 24."""
    x = np.full((9000, 1, 1, 1), -128, np.int8)
    x[0] = 1
    weight = np.full((2, 9000, 1, 1), 127, np.int8)
    assert collected(Sums(weight), x, 2).ravel().tolist() == [127 - 127 * 128 * 8999] * 2


def test_a_dense_layer_that_is_depthwise_takes_the_short_way_to_the_same_sums() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (5, 2, 6, 6)).astype(np.int8)
    weight = np.zeros((5, 5, 3, 3), np.int8)
    weight[range(5), range(5)] = rng.integers(-127, 128, (5, 3, 3))
    sums = Sums(weight, 2, 1)
    assert sums.diagonal is not None
    np.testing.assert_array_equal(collected(sums, x, 5), slow(x, weight, 2, 1))
    weight[0, 1, 0, 0] = 1
    assert Sums(weight).diagonal is None


def test_pooling_drops_what_fills_no_window() -> None:
    x = np.arange(-12, 13, dtype=np.int8).reshape(1, 1, 5, 5)
    assert max_pool(x, 2, 2).tolist() == [[[[-6, -4], [4, 6]]]]


def test_a_mean_is_rounded_once_halves_away_from_zero() -> None:
    x = np.array([[1, 2], [-1, -2], [1, 1]], np.int8).reshape(3, 1, 1, 2)
    assert average(x, 1, 0).ravel().tolist() == [2, -2, 1]
    assert average(x, 3, 1).ravel().tolist() == [2, -2, 2]


def test_int8_saturates() -> None:
    assert saturate(np.array([-1000, -128, 127, 1000])).tolist() == [-128, -128, 127, 127]
