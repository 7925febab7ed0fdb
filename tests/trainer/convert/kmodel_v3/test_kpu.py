from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.kmodel_v3.activation import leaky, ramp
from services.trainer.convert.kmodel_v3.kpu import Accumulator, KpuUnit, Rounding
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.registers import ConvShape, Quantisation
from tests.trainer.convert.kmodel_v3 import reference

SHAPES = {
    "1x1": ConvShape(5, 3, 4, 6, 1, False, 0),
    "3x3": ConvShape(3, 4, 6, 4, 3, False, 0),
    "3x3 stride 2": ConvShape(3, 4, 6, 8, 3, False, 5),
    "1x1 stride 2": ConvShape(4, 3, 6, 4, 1, False, 5),
    "max pool": ConvShape(2, 3, 6, 4, 3, False, 1),
    "depthwise": ConvShape(4, 4, 5, 7, 3, True, 0),
}
QUANTISATIONS = {
    "ours": Quantisation(pad_value=37, arg_x=-128, arg_w=-37, arg_add=9 * 128 * 37),
    "rc5": Quantisation(pad_value=3, arg_x=-4423680, shr_x=15, arg_w=-77, shr_w=3, arg_add=12345),
}


def random_conv(shape: ConvShape, quant: Quantisation, table: str = "ramp", seed: int = 0) -> KpuConv:
    """Random weights, normalised so that the sums of random images fill the bytes and a little more."""
    rng = np.random.default_rng([seed, shape.weights])
    size = (shape.out_channels, shape.kernel, shape.kernel)
    if not shape.depthwise:
        size = (size[0], shape.in_channels, *size[1:])
    channels, prescale = shape.out_channels, 6  # a small prescale makes rounding ties frequent
    tables = {"ramp": ramp(prescale), "leaky": leaky(0.1, 60, prescale)}
    zeros = np.zeros(channels, np.int64)
    conv = KpuConv(
        shape, 0, 0, quant, rng.integers(0, 256, size, np.uint8), zeros, zeros, zeros, tables[table]
    )  # fmt: skip
    sums = Accumulator(conv)(rng.integers(0, 256, (shape.in_channels, 8, shape.height, shape.width)).astype(np.float32))
    low, high = sums.min((1, 2, 3)), sums.max((1, 2, 3))
    norm_shift = rng.integers(10, 16, channels)
    norm_mul = (400 * 2**prescale / (high - low) * 2.0**norm_shift).astype(np.int64)
    norm_add = (-(low + 0.4 * (high - low)) * norm_mul / 2.0**norm_shift).astype(np.int64)
    return replace(conv, norm_mul=norm_mul, norm_add=norm_add, norm_shift=norm_shift)


def run(conv: KpuConv, image: np.ndarray, rounding: Rounding = Rounding.HALF_AWAY) -> np.ndarray:
    return KpuUnit(conv, rounding)(image[:, None].astype(np.float32))[:, 0].astype(np.int64)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("table", ["ramp", "leaky"])
@pytest.mark.parametrize("quant", list(QUANTISATIONS))
@pytest.mark.parametrize("shape", list(SHAPES))
def test_equals_the_formulas_pixel_by_pixel(shape: str, quant: str, table: str, rounding: Rounding) -> None:
    conv = random_conv(SHAPES[shape], QUANTISATIONS[quant], table)
    image = np.random.default_rng(5).integers(0, 256, (conv.shape.in_channels, conv.shape.height, conv.shape.width))
    wanted = reference.run(conv, image, half_even=rounding is Rounding.HALF_EVEN)
    assert len(np.unique(wanted)) > 5, "the layer must not be saturated, or the comparison says nothing"
    assert np.array_equal(run(conv, image, rounding), wanted)


def test_leaky_layers_take_the_fast_way_and_unsorted_tables_the_general_one() -> None:
    conv = random_conv(SHAPES["1x1"], QUANTISATIONS["ours"], "leaky")
    images = np.random.default_rng(4).integers(0, 256, (5, 50, 4, 6)).astype(np.float32)
    fast, general = KpuUnit(conv), KpuUnit(conv)
    assert fast.lines is not None
    general.lines = None
    assert np.array_equal(fast(images), general(images))
    table = conv.activation
    backwards = replace(conv, activation=replace(table, x_start=table.x_start[::-1]))
    assert KpuUnit(backwards).lines is None
    image = images[:, 0].astype(np.int64)
    assert np.array_equal(run(backwards, image), reference.run(backwards, image))


def test_the_two_rounding_rules_differ_only_at_ties_and_by_one_step() -> None:
    conv = random_conv(SHAPES["1x1"], QUANTISATIONS["ours"])
    images = np.random.default_rng(1).integers(0, 256, (5, 400, 4, 6)).astype(np.float32)
    away, even = (KpuUnit(conv, rounding)(images) for rounding in Rounding)
    assert 0 < (away != even).mean() < 0.05
    assert np.abs(away - even).max() == 1


def test_a_batch_gives_what_its_images_give_alone() -> None:
    conv = random_conv(SHAPES["3x3 stride 2"], QUANTISATIONS["rc5"])
    images = np.random.default_rng(2).integers(0, 256, (3, 4, 6, 8)).astype(np.float32)
    unit = KpuUnit(conv)
    assert np.array_equal(unit(images), np.concatenate([unit(images[:, i : i + 1]) for i in range(4)], axis=1))


def test_wide_sums_are_added_in_float64() -> None:
    shape = ConvShape(1024, 2, 4, 4, 1, False, 0)
    conv = random_conv(shape, Quantisation(arg_x=-128))
    conv.weights[:] = 255
    accumulate = Accumulator(conv)
    assert accumulate.dtype is np.float64
    assert (accumulate(np.full((1024, 1, 4, 4), 255, np.float32)) == 1024 * 255 * 127).all()


def test_a_tiled_3x3_equals_an_untiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = random_conv(ConvShape(3, 4, 12, 8, 3, False, 5), QUANTISATIONS["ours"])
    image = np.random.default_rng(3).integers(0, 256, (3, 2, 12, 8)).astype(np.float32)
    whole = KpuUnit(conv)(image)
    monkeypatch.setattr("services.trainer.convert.kmodel_v3.kpu.TILE_BYTES", 1)
    assert np.array_equal(KpuUnit(conv)(image), whole)


def test_a_sum_outside_36_bits_is_an_error_naming_the_layer() -> None:
    conv = random_conv(SHAPES["1x1"], QUANTISATIONS["ours"])
    conv.norm_mul[:] = (1 << 23) - 1
    conv.norm_shift[:] = 0
    with pytest.raises(UnsupportedModel, match="layer pw7: the normalised value does not fit the KPU's 36 bits"):
        KpuUnit(conv, name="pw7")(np.full((5, 1, 4, 6), 255, np.float32))
