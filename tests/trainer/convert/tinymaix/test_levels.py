from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert.tinymaix import arithmetic
from services.trainer.convert.tinymaix.layers import Act
from services.trainer.convert.tinymaix.levels import Levels, choose, input_levels, sum_levels


def through_tinymaix(y: np.ndarray, levels: Levels) -> np.ndarray:
    """`y` as fine sums of a convolution, requantised by the arithmetic of the file."""
    fine = levels.step / 1000
    sums = np.rint(y / fine)[:, None]
    bias = np.array([round((levels.zero + levels.shift) * levels.step / fine)])
    scale = np.array([fine * 6 / (levels.clamp * levels.step)], np.float32)
    return levels.real(arithmetic.requantise(sums, bias, scale, 1.0, Act.RELU6, 6 / levels.clamp, -128))[:, 0]


@pytest.mark.parametrize("limit", [None, 6.0])
def test_levels_foresee_what_tinymaix_does(limit: float | None) -> None:
    y = np.abs(np.random.default_rng(1).normal(0, 3, 5000))
    y = np.minimum(y, limit) if limit else y - 2
    levels = choose(y, limit, is_output=False)
    np.testing.assert_allclose(through_tinymaix(y, levels), levels.quantised(y), atol=1.01 * levels.step)
    same = np.abs(through_tinymaix(y, levels) - levels.quantised(y)) < 0.01 * levels.step
    assert same.mean() > 0.98, "the fine sums round a few values over the edge of a level"


def test_everything_beyond_the_levels_saturates() -> None:
    levels = choose(np.linspace(-1, 3, 1000), None, is_output=True)
    low, high = levels.range
    far = np.array([-1e5, -50.0, 50.0, 1e5])
    np.testing.assert_allclose(through_tinymaix(far, levels), [low, low, high, high], rtol=1e-6)
    assert low <= -1 + levels.step and high >= 3, "the output is not clipped"


def test_the_lower_half_is_rounded_to_nearest() -> None:
    """Most activations are small: half a level of shift there beats the plain cut by far."""
    y = np.random.default_rng(0).exponential(1.0, 20_000)
    levels = choose(y, None, is_output=False)
    plain = Levels(float(y.max()) / 255, 0)
    error, cut = (levels.quantised(y) - y), (plain.quantised(y) - y)
    assert levels.shift == -0.5
    assert np.square(error).mean() < 0.4 * np.square(cut).mean()


def test_relu6_keeps_six_exact() -> None:
    levels = choose(np.minimum(np.random.default_rng(0).exponential(4.0, 5000), 6), 6.0, is_output=False)
    assert levels.range == (0.0, pytest.approx(6.0))
    assert through_tinymaix(np.array([6.0, 0.0]), levels).tolist() == pytest.approx([6.0, 0.0])


@pytest.mark.parametrize("seed", range(5))
def test_no_sum_of_two_maps_can_wrap_around(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (Levels(*rng.uniform(0.01, 0.1, 1), int(rng.integers(256)), int(rng.integers(200, 256))) for _ in range(2))
    out = sum_levels(a, b, rng.normal(0, 3, 1000))
    q = [np.array([-128, levels.top - 128], np.int8) for levels in (a, b)]
    pairs = [grid.reshape(1, 1, 1, -1) for grid in np.meshgrid(*q)]
    levels = [(levels.step, levels.zero_point) for levels in (a, b, out)]
    got = out.real(arithmetic.add(*pairs, *levels))
    np.testing.assert_allclose(got, a.real(pairs[0]) + b.real(pairs[1]), atol=1.01 * out.step)


def test_the_images_zero_is_the_grey_of_the_mean() -> None:
    assert input_levels((0.0, 0.0, 0.0)).zero_point == -128
    assert input_levels((0.4, 0.5, 0.6)).zero_point == 0
