from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.trainer.convert.kmodel_v3.scales import MapStatistics, Scale, choose_scale, image_scale
from services.trainer.convert.kmodel_v3.stages import Stage, identity
from services.trainer.graph import Activation
from tests.trainer.convert.networks import conv

SPREAD = MapStatistics(np.array([-4.0, -0.5, 0.2]), np.array([4.0, 0.25, 0.7]), np.array([1.0, 0.01, 0.01]))
ABOVE = MapStatistics(np.zeros(3), np.array([6.0, 2.0, 0.1]), np.ones(3))


def stage(kernel: int = 1, activation: Activation | None = None, joins: bool = False) -> Stage:
    layer = conv("layer", (6 if joins else 3, 4), kernel=kernel)
    return Stage("layer", layer.weight, layer.bias, False, activation or Activation.none(), 0, (0, 1)[: joins + 1])


def test_the_last_map_has_one_scale() -> None:
    scale = choose_scale(stage(), SPREAD, [], None)
    assert len(np.unique(scale.scale)) == 1 and scale.padding is not None


def test_channels_behind_relu_share_one_scale_and_zero_stands_for_zero() -> None:
    scale = choose_scale(stage(), ABOVE, [stage(3)], None)
    assert np.allclose(scale.scale, 6 / 255) and scale.padding == 0


def test_a_map_that_a_3x3_layer_pads_has_one_zero_point() -> None:
    assert choose_scale(stage(), SPREAD, [stage(3)], None).padding == 128
    assert choose_scale(stage(activation=Activation.leaky(0.1)), SPREAD, [stage(1)], None).padding == 128


def test_channels_for_an_addition_have_scales_and_zero_points_of_their_own() -> None:
    scale = choose_scale(stage(), SPREAD, [stage(joins=True)], None)
    assert scale.padding is None
    for channel in range(3):
        low, high = ((b - scale.zero_point[channel]) * scale.scale[channel] for b in (0, 255))
        step = scale.scale[channel]
        assert low <= SPREAD.low[channel] + step and high >= SPREAD.high[channel] - step
    assert scale.scale[1] < scale.scale[0] / 5


def test_the_two_weights_of_an_addition_are_whole_steps() -> None:
    partner = Scale(np.array([0.01, 0.05, 0.002]), np.zeros(3))
    free = choose_scale(stage(), SPREAD, [stage(joins=True)], None)
    scale = choose_scale(stage(), SPREAD, [stage(joins=True)], partner)
    ratio = scale.scale / partner.scale
    steps = 127 * np.minimum(ratio, 1 / ratio)
    assert np.abs(steps - np.rint(steps)).max() < 1e-6
    assert (scale.scale >= free.scale * (1 - 1e-9)).all(), "coarser, so that nothing is clipped"


def test_a_reader_whose_weights_would_lose_more_keeps_the_scales_together() -> None:
    weight = np.ones((4, 3, 1, 1), np.float32)
    even = choose_scale(stage(), SPREAD, [replace(stage(), weight=weight)], None)
    weight = weight * np.array([1, 300, 300], np.float32)[:, None, None]
    spread = choose_scale(stage(), SPREAD, [replace(stage(), weight=weight)], None)
    assert np.ptp(np.log(spread.scale)) > np.ptp(np.log(even.scale))


def test_the_image_is_a_map_too() -> None:
    scale = image_scale((0.5, 0.5), (0.5, 0.25))
    assert np.allclose(scale.values(np.array([0.0, 255.0]).reshape(2, 1, 1, 1)).ravel(), [-1, 2])
    assert scale.padding is None, "x = 0 is byte 127.5"
    assert image_scale((0.0,), (1.0,)).padding == 0


def test_joined_and_cut_scales_keep_their_order() -> None:
    scale = Scale(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert scale.beside(scale).first(3).scale.tolist() == [1.0, 2.0, 1.0]
    assert identity("copy", 3, 0, padded=4).weight.shape == (4, 3, 1, 1)


def test_real_numbers_become_their_nearest_bytes_and_what_is_outside_the_ends() -> None:
    scale = Scale(np.array([0.5, 2.0]), np.array([0.0, 10.0]))
    real = np.array([[3.2, -1.0, 500.0], [3.2, -1.0, 500.0]], np.float32).reshape(2, 3, 1, 1)
    assert scale.bytes(real).reshape(2, 3).tolist() == [[6, 0, 255], [12, 10, 255]]
