from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.common import snr_db
from services.trainer.convert.contract import ConvertOptions
from services.trainer.convert.kmodel_v3.calibrate import calibrate
from services.trainer.convert.kmodel_v3.lower import lower
from services.trainer.convert.kmodel_v3.quantise import quantise_weights
from services.trainer.convert.kmodel_v3.scales import range_scale
from services.trainer.graph import Activation
from tests.trainer.convert.networks import conv, graph, pictures


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-1.5, 4.0), (-3.0, -1.0), (2.0, 3.0), (0.0, 0.0)])
def test_a_range_holds_zero_exactly_and_covers_its_ends(low: float, high: float) -> None:
    scale = range_scale(np.array([low]), np.array([high]))
    assert scale.padding is not None
    assert scale.range[0] <= low + scale.scale[0] / 2
    assert scale.range[1] >= high - scale.scale[0] / 2


def test_weights_are_within_half_a_step_of_their_channel() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 4, 3, 3)) * np.logspace(-3, 2, 6)[:, None, None, None]
    data, scale = quantise_weights(weight, "max")
    back = (data.astype(float) - 128) * scale[:, None, None, None]
    assert (np.abs(back - weight).max((1, 2, 3)) <= scale / 2 + 1e-12).all()
    assert (data.reshape(6, -1).min(1) >= 1).all()


def test_mse_clips_an_outlier_and_lowers_the_error() -> None:
    weight = np.random.default_rng(1).normal(size=(1, 1024, 3, 3))
    weight[0, 0, 0, 0] = 6.5
    errors = {}
    for how in ("max", "mse"):
        data, scale = quantise_weights(weight, how)
        errors[how] = (((data.astype(float) - 128) * scale - weight) ** 2).sum()
    assert errors["mse"] < errors["max"]


def test_a_channel_of_zeros_stays_zero() -> None:
    data, scale = quantise_weights(np.zeros((2, 3, 1, 1)), "max")
    assert (data == 128).all() and np.isfinite(scale).all()


def stages_of(bias: float = 0.0, **options: int) -> list:
    layer = conv("stem", (3, 8), activation=Activation.relu())
    layer.bias[:] += np.float32(bias)
    lowered = lower(graph(layer, conv("head", (8, 4), kernel=1, activation=Activation.none())))
    return calibrate(lowered, graph(layer).input, pictures(6)[0], ConvertOptions(**options))


def test_the_prescale_goes_down_where_sums_would_leave_36_bits() -> None:
    assert [s.prescale for s in stages_of(prescale=16)] == [16, 16]
    wide = conv("wide", (8, 4), kernel=1, activation=Activation.relu6())
    wide.weight[:] *= np.float32(2e3)
    lowered = lower(graph(conv("stem", (3, 8)), wide))
    done = calibrate(lowered, graph(wide).input, pictures(6)[0], ConvertOptions())
    assert 10 <= done[1].prescale < 16


def test_sums_that_fit_at_no_prescale_are_refused() -> None:
    wide = conv("wide", (8, 4), kernel=1, activation=Activation.relu6())
    wide.weight[:] *= np.float32(1e8)
    lowered = lower(graph(conv("stem", (3, 8)), wide))
    with pytest.raises(UnsupportedModel, match="layer wide: a sum can leave the KPU's 36 bits") as caught:
        calibrate(lowered, graph(wide).input, pictures(6)[0], ConvertOptions())
    assert caught.value.reason == "SUM_OUTSIDE_36_BITS"


def test_bias_correction_removes_the_mean_error() -> None:
    for corrected in (False, True):
        stages = stages_of(bias_correction=corrected)
        assert all(s.snr_db > 30 for s in stages)
    assert np.array_equal(stages[0].conv.weights, stages_of(bias_correction=False)[0].conv.weights)
    assert not np.array_equal(stages[1].conv.norm_add, stages_of(bias_correction=False)[1].conv.norm_add)


def test_signal_to_noise_ratio() -> None:
    x = np.array([3.0, 4.0])
    assert snr_db(x, x) == 120.0
    assert snr_db(x, x * 1.1) == pytest.approx(20.0)
    assert snr_db(np.zeros(2), x) == 0.0
