from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.convert import convert
from services.trainer.convert.tinymaix import arithmetic
from services.trainer.convert.tinymaix.layers import ConvLayer, Kind
from services.trainer.convert.tinymaix.simulate import TmdlSimulator, run_file_layer
from tests.trainer.convert.tinymaix.nets import noise, random_net
from tests.trainer.convert.tinymaix.reference import conv_pixel


@pytest.mark.parametrize("seed", [1, 4, 10, 13])
def test_convolutions_equal_a_slow_reference_in_whole_numbers(seed: int) -> None:
    graph = random_net(seed)
    simulated = TmdlSimulator(convert(graph, "mcu-tinymaix-int8", noise(graph, 8)).data)
    rng, checked = np.random.default_rng(seed), 0
    for layer in simulated.model.layers:
        if isinstance(layer, ConvLayer):
            x = rng.integers(-128, 128, (1, *layer.head.in_dims[1:])).astype(np.int8)
            got = run_file_layer(layer, x)[0]
            for y, column, channel in rng.integers(0, got.shape, (25, 3)):
                assert got[y, column, channel] == conv_pixel(layer, x[0], y, column, channel)
                checked += 1
    assert checked >= 50


def test_results_are_cut_towards_zero_and_wrap_as_in_c() -> None:
    values = np.array([1.99, -1.99, 127.9, 128.0, -128.9, -129.0, 3e9, -np.inf, np.nan], np.float32)
    assert arithmetic.to_int8(values).tolist() == [1, -1, 127, -128, -128, 127, 0, 0, 0]


def test_the_average_is_cut_before_it_is_scaled() -> None:
    x = np.array([-3, -4, 3, 4, 3, 4], np.int8).reshape(1, 1, 2, 3, order="F")
    x = np.array([[[[-3, 3, 7], [-4, 4, 8]]]], np.int8)
    assert arithmetic.average(x, 1.0, 0, 0.5, 0).ravel().tolist() == [-6, 6, 14]


def test_an_addition_rescales_both_operands() -> None:
    a, b = np.array([[[[10, -20]]]], np.int8), np.array([[[[4, 100]]]], np.int8)
    assert arithmetic.add(a, b, (0.5, 0), (0.25, -4), (1.0, 1)).ravel().tolist() == [8, 17]


def test_the_simulator_takes_images_of_its_own_size_only(int8_file: bytes) -> None:
    simulated = TmdlSimulator(int8_file)
    assert simulated.input_shape == (3, 32, 32)
    assert simulated.run(np.zeros((0, 3, 32, 32), np.uint8)).shape == (0, 4)
    with pytest.raises(InvalidInput, match="eats uint8"):
        simulated.run(np.zeros((1, 3, 32, 33), np.uint8))


def test_kinds_have_the_numbers_of_tinymaix_h() -> None:
    assert [kind.name for kind in Kind] == ["CONV", "GAP", "FC", "SOFTMAX", "RESHAPE", "DWCONV", "ADD"]
