from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.quantise import quantise
from services.trainer.convert.awnn.table import Scales, read_table
from services.trainer.convert.ncnn_bin import LayerWeights, read_weights
from services.trainer.convert.ncnn_text import ParamLayer, read_param

INPUT = ParamLayer("Input", "input0", (), ("input0",), {0: 8, 1: 8, 2: 3})
CONV = ParamLayer("Convolution", "c", ("input0",), ("x",), {0: 2, 1: 3, 4: 1, 5: 1, 6: 54})
SCALES = Scales(
    {"input0": np.float32(127), "x": np.float32(20), "y": np.float32(20)}, {"c": np.full(2, 100, np.float32)}
)


def weights(value: float = 0.5, bias: float = 0.0) -> dict[str, LayerWeights]:
    return {"c": LayerWeights(np.full((2, 3, 3, 3), value, np.float32), np.full(2, bias, np.float32))}


def test_every_golden_network_is_quantised_as_the_vendors_tool_did(shared: Path) -> None:
    """Weights byte for byte; of the text, one multiplier may lie 1 beside the tool's, at a rounding tie."""
    folders = sorted((shared / "vectors/awnn").iterdir())
    assert folders
    for folder in folders:
        layers = read_param((folder / "float.param").read_bytes())
        table = read_table((folder / "scales.table").read_bytes())
        done = quantise(layers, read_weights(layers, (folder / "float.bin").read_bytes()), table)
        assert done.bin() == (folder / "int8.bin").read_bytes(), folder.name
        wanted = read_param((folder / "int8.param").read_bytes())
        assert len(done.layers) == len(wanted)
        for ours, tools in zip(read_param(done.param()), wanted, strict=True):
            assert ours.integer(21) == pytest.approx(tools.integer(21), abs=1), folder.name
            assert replace(ours, params={**ours.params, 21: 0}) == replace(tools, params={**tools.params, 21: 0})


def test_the_golden_texts_are_equal_to_the_last_byte(shared: Path) -> None:
    """More than is asked: it shows at once when a key, its place or a number's form changes."""
    for folder in (shared / "vectors/awnn").iterdir():
        layers = read_param((folder / "float.param").read_bytes())
        table = read_table((folder / "scales.table").read_bytes())
        done = quantise(layers, read_weights(layers, (folder / "float.bin").read_bytes()), table)
        assert done.param() == (folder / "int8.param").read_bytes(), folder.name


def test_a_bias_beyond_16_bits_gets_its_own_multiplier() -> None:
    done = quantise([INPUT, CONV], weights(bias=10.0), SCALES)
    layer, bias = done.layers[1], done.weights["c"].bias
    assert bias is not None and bias.tolist() == [32767, 32767]
    factor = layer.integer(26) / 2 ** layer.integer(27)
    assert factor * 32767 / (127 * 100) == pytest.approx(10.0, rel=1e-3)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (ParamLayer("ConvolutionDepthWise", "d", ("x",), ("y",)), "layer d .*cannot be quantised"),
        (ParamLayer("Clip", "k", ("x",), ("y",), {0: 0.0, 1: 6.0}), "layer k .*saturates at 6"),
        (ParamLayer("ReLU", "r", ("x",), ("y",), {0: 0.1}), "layer r .*leaky"),
        (ParamLayer("ReLU", "r", ("x",), ("z",)), "layer r .*no scale for the blob z"),
        (ParamLayer("Pooling", "p", ("x",), ("y",), {0: 0, 1: 3, 2: 2}), "layer p .*no whole number of windows"),
        (ParamLayer("Eltwise", "e", ("x", "input0"), ("y",), {0: 1}), "layer e .*a sum of"),
        (ParamLayer("BinaryOp", "m", ("x", "x"), ("y",), {0: 2}), "layer m .*not a plain sum"),
    ],
)
def test_what_cannot_be_quantised_is_named_with_a_way_out(layer: ParamLayer, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        quantise([INPUT, CONV, layer], weights(), SCALES)
    assert caught.value.metadata["layer"] == layer.name and caught.value.fix


def test_a_layer_of_one_pixel_on_the_image_is_refused() -> None:
    layer = replace(CONV, params={0: 2, 1: 1, 5: 1, 6: 6})
    with pytest.raises(UnsupportedModel, match="Begin with a convolution of 3x3"):
        quantise(
            [INPUT, layer], {"c": LayerWeights(np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32))}, SCALES
        )


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"layer c .*NaN"):
        quantise([INPUT, CONV], weights(value=np.nan), SCALES)
