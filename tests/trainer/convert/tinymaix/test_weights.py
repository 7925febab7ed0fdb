from __future__ import annotations

import numpy as np

from services.trainer.convert.tinymaix.weights import quantise_weights


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
