from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert.tinymaix.arithmetic import convolve
from services.trainer.convert.tinymaix.weights import MAX_INPUTS, covariance, quantise_weights


def test_every_output_channel_has_its_own_scale() -> None:
    weight = np.array([[0.5, -1.0], [0.0011, 0.002]], np.float32)[:, :, None, None]
    quantised, scales = quantise_weights(weight, "max", np.full(2, 1e-9))
    assert quantised[:, :, 0, 0].tolist() == [[64, -127], [70, 127]]
    np.testing.assert_allclose(scales, [1 / 127, 0.002 / 127], rtol=1e-6)


def test_a_scale_never_falls_below_the_smallest_allowed() -> None:
    quantised, scales = quantise_weights(np.zeros((1, 3, 1, 1), np.float32), "mse", np.array([0.25]))
    assert scales.tolist() == [0.25] and not quantised.any()


def test_mse_clips_outliers_where_that_lowers_the_error() -> None:
    weight = np.random.default_rng(0).laplace(size=(2, 4000, 1, 1)).astype(np.float32)
    errors = {}
    for kind in ("max", "mse"):
        quantised, scales = quantise_weights(weight, kind, np.full(2, 1e-9))
        errors[kind] = np.square(quantised * scales[:, None, None, None] - weight).mean()
    assert errors["mse"] < errors["max"]


def alike(count: int, channels: int) -> np.ndarray:
    """int8 maps (n, 6, 7, c) whose channels and pixels go together, as pictures' do."""
    rng = np.random.default_rng(1)
    common = rng.normal(0, 30, (count, 1, 1, 1)) + rng.normal(0, 4, (count, 6, 7, channels))
    return np.clip(common, -128, 127).astype(np.int8)


@pytest.mark.parametrize("depthwise", [False, True])
def test_errors_of_weights_cancel_on_inputs_that_are_alike(depthwise: bool) -> None:
    x = alike(64, 5)
    weight = np.random.default_rng(0).normal(size=(5, 1 if depthwise else 5, 3, 3)).astype(np.float32)
    noise = {}
    for name, seen in (("nearest", None), ("together", covariance(x, 3, 1, 1, 0, depthwise))):
        quantised, scales = quantise_weights(weight, "max", np.full(5, 1e-9), seen)
        error = (quantised * scales[:, None, None, None] - weight).astype(np.float32)
        noise[name] = convolve(x.astype(np.float32), error, depthwise, (1, 1), (1, 1, 1, 1)).std()
        assert np.abs(quantised).max() <= 127
    assert noise["together"] < 0.7 * noise["nearest"]


def test_the_covariance_is_that_of_the_windows_without_their_mean() -> None:
    x = alike(400, 2)
    seen = covariance(x, 1, 2, 0, 0, depthwise=False)
    assert seen is not None and seen.shape == (1, 2, 2)
    np.testing.assert_allclose(seen[0], np.cov(x[:, ::2, ::2].reshape(-1, 2).T), rtol=0.1)


def test_an_output_of_too_many_inputs_has_no_covariance() -> None:
    assert covariance(np.zeros((1, 3, 3, MAX_INPUTS // 9 + 1), np.int8), 3, 1, 1, 0, depthwise=False) is None
