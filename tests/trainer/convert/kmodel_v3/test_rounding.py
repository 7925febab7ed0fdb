from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert.kmodel_v3.rounding import round_steps, second_moments


def alike(count: int, seed: int = 0) -> np.ndarray:
    """Inputs (count, 1, 40, 40) that are nearly the same everywhere, as the pixels of a window are."""
    rng = np.random.default_rng(seed)
    return (rng.integers(20, 200, (1, 1, 40, 40)) + rng.integers(0, 12, (count, 1, 40, 40))).astype(np.float32)


def error(values: np.ndarray, steps: np.ndarray, moments: np.ndarray) -> float:
    rest = values - steps
    if moments.ndim == 3:
        return float(np.einsum("ri,rij,rj->", rest, moments, rest))
    return float(np.einsum("ri,ij,rj->", rest, moments, rest))


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_dense_layers_sums_change_less_than_by_nearest_steps(kernel: int) -> None:
    moments = second_moments(alike(8), kernel, False)
    assert moments.shape == (8 * kernel**2,) * 2
    values = np.random.default_rng(1).normal(0, 20, (16, len(moments)))
    steps = round_steps(values, moments)
    assert np.array_equal(steps, np.rint(steps)) and np.abs(steps).max() <= 128
    assert error(values, steps, moments) < 0.5 * error(values, np.rint(values), moments)


def test_the_errors_of_a_depthwise_window_cancel() -> None:
    smooth = np.broadcast_to(alike(1), (5, 1, 40, 40)).repeat(4, 2).repeat(4, 3).copy()
    moments = second_moments(smooth, 3, True)
    assert moments.shape == (5, 9, 9)
    values = np.random.default_rng(2).normal(0, 20, (5, 9))
    steps = round_steps(values, moments)
    assert error(values, steps, moments) < 0.5 * error(values, np.rint(values), moments)
    assert np.abs((values - steps).sum(1)).max() < 0.51


def test_the_copies_of_a_weight_make_up_for_each_other() -> None:
    moments = second_moments(alike(6), 1, False)
    values = np.tile(np.random.default_rng(3).normal(0, 20, (4, 6)), (4, 1))
    steps = round_steps(values, moments, copies=4)
    together, alone = (s.reshape(4, 4, 6).mean(0) for s in (steps, round_steps(values, moments)))
    assert np.abs(together - values[:4]).mean() < 0.5 * np.abs(alone - values[:4]).mean()


def test_an_input_that_never_changes_does_no_harm() -> None:
    moments = second_moments(np.zeros((3, 2, 8, 8), np.float32), 1, False)
    assert np.isfinite(round_steps(np.ones((2, 3)) * 3.4, moments)).all()


def test_what_copied_inputs_have_in_common_outlasts_few_samples() -> None:
    """The weights of two copies may then err in opposite ways, as nobody sees it in their sum."""
    few = np.random.default_rng(4).integers(0, 200, (64, 3, 2, 2)).astype(np.float32)
    moments = second_moments(np.tile(few, (2, 1, 1, 1)), 1, False, copies=2)
    single = second_moments(np.tile(few, (2, 1, 1, 1)), 1, False)
    twins = np.arange(64), np.arange(64) + 64
    correlation = [m[twins].mean() / np.diagonal(m).mean() for m in (moments, single)]
    assert correlation[0] > 0.95 > 0.5 > correlation[1]


def test_differences_between_images_weigh_more_than_those_between_pixels() -> None:
    rng = np.random.default_rng(5)
    pixels = rng.normal(100, 10, (1, 16, 20, 20))
    images = np.broadcast_to(rng.normal(100, 10, (1, 16, 1, 1)), (1, 16, 20, 20))
    moments = second_moments(np.concatenate([pixels, images]).astype(np.float32), 1, False)
    assert moments[1, 1] > 2 * moments[0, 0]


def test_variations_add_what_the_images_do_not_show() -> None:
    data = np.zeros((2, 2, 8, 8), np.float32)
    data[0] = np.random.default_rng(6).integers(0, 200, (2, 8, 8))
    assert second_moments(data, 1, False, 1, data[::-1].copy())[1, 1] > 100 * second_moments(data, 1, False)[1, 1]
