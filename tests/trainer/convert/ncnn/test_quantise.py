from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert.contract import ConvertOptions
from services.trainer.convert.ncnn.quantise import in_half, in_int8
from services.trainer.convert.ncnn.ranges import Statistics
from services.trainer.convert.ncnn_bin import LayerWeights

RNG = np.random.default_rng(0)
WEIGHTS = LayerWeights(RNG.normal(size=(6, 4, 1, 1)).astype(np.float32), RNG.normal(size=6).astype(np.float32))
MEAN = np.abs(RNG.normal(size=(4, 5, 5)))


def exact(stored: LayerWeights) -> np.ndarray:
    assert stored.weight_scales is not None
    return stored.weight / stored.weight_scales[:, None, None, None]


def test_every_channel_uses_its_whole_range() -> None:
    stored = in_int8(WEIGHTS, 2.0, MEAN, ConvertOptions())
    assert (np.abs(stored.weight).max((1, 2, 3)) == 127).all() and stored.input_scale == 63.5
    step = np.abs(WEIGHTS.weight).max((1, 2, 3), keepdims=True) / 127
    assert (np.abs(exact(stored) - WEIGHTS.weight) <= step / 2 + 1e-7).all()


def test_a_channel_of_zeros_has_a_finite_scale() -> None:
    stored = in_int8(LayerWeights(np.zeros((2, 3), np.float32)), 1.0, np.ones(3), ConvertOptions())
    assert np.array_equal(stored.weight_scales, [127, 127]) and not stored.weight.any()  # type: ignore[arg-type]


def test_an_outlier_is_clipped_where_that_costs_less() -> None:
    weight = np.append(RNG.normal(size=100_000), 8.0)[None].astype(np.float32)
    error = {}
    for kind in ("max", "mse"):
        stored = in_int8(LayerWeights(weight), 1.0, np.ones(100_001), ConvertOptions(weight_range=kind))  # type: ignore[arg-type]
        assert stored.weight_scales is not None
        error[kind] = np.square(weight - stored.weight / stored.weight_scales[:, None]).sum()
    assert error["mse"] < error["max"]


@pytest.mark.parametrize("half", [False, True])
def test_the_mean_error_of_rounded_weights_is_taken_off_the_bias(half: bool) -> None:
    def output(options: ConvertOptions) -> np.ndarray:
        stored = in_half(WEIGHTS, MEAN, options) if half else in_int8(WEIGHTS, 1.0, MEAN, options)
        assert stored.bias is not None
        weight = stored.weight.astype(np.float64) if half else exact(stored)
        return weight[:, :, 0, 0] @ MEAN.mean((1, 2)) + stored.bias

    assert WEIGHTS.bias is not None
    wanted = WEIGHTS.weight[:, :, 0, 0] @ MEAN.mean((1, 2)) + WEIGHTS.bias
    with_it, without = (np.abs(output(ConvertOptions(bias_correction=on)) - wanted).max() for on in (True, False))
    assert with_it < 1e-6 < without


def test_the_statistics_do_not_depend_on_the_batches() -> None:
    values = RNG.normal(size=(64, 3, 8, 8)).astype(np.float32) * np.linspace(0.1, 4, 64)[:, None, None, None]
    whole, parts = Statistics(), Statistics()
    whole.add(values.astype(np.float32))
    for part in np.array_split(values.astype(np.float32), 10):
        parts.add(part)
    assert np.allclose(whole.mean(), parts.mean())
    assert (whole.low, whole.high, whole.counts.sum()) == (parts.low, parts.high, parts.counts.sum())
    assert parts.limit() == pytest.approx(whole.limit(), rel=0.03)


def test_a_long_tail_is_clipped_and_a_box_is_not() -> None:
    box, tail = Statistics(), Statistics()
    box.add(RNG.uniform(0, 6, (1, 50_000)).astype(np.float32))
    tail.add(np.append(RNG.uniform(0, 1, 500_000), 40.0)[None].astype(np.float32))
    assert box.limit() == pytest.approx(6, rel=0.02) and box.limit(3.0) == pytest.approx(3, rel=0.02)
    assert tail.limit() < 30
