from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.awnn.container import Container, pack, parse
from services.trainer.convert.awnn.network import Network
from services.trainer.convert.awnn.simulate import AwnnSimulator
from services.trainer.convert.ncnn_text import ParamLayer

Maps = dict[str, list]  # by blob, nested lists of whole numbers [c][y][x]


def halves_away(value: Fraction) -> int:
    return int(math.copysign(math.floor(abs(value) + Fraction(1, 2)), value))


def byte(value: Fraction | int) -> int:
    return max(-128, min(127, halves_away(Fraction(value))))


def factor(layer: ParamLayer, key: int) -> Fraction:
    return Fraction(layer.integer(key), 2 ** layer.integer(key + 1))


def slow_layer(layer: ParamLayer, network: Network, maps: Maps) -> list:
    """One layer in Python's whole numbers and fractions, pixel by pixel, by the rules in simulate.py."""
    x = maps[layer.inputs[0]]
    c, h, w = network.shapes[layer.inputs[0]]
    oc, oh, ow = network.shapes[layer.outputs[0]]
    out = [[[0] * ow for _ in range(oh)] for _ in range(oc)]
    m = factor(layer, 21)
    for o in range(oc):
        for y in range(oh):
            for z in range(ow):
                if layer.type in ("Convolution", "InnerProduct"):
                    given = network.weights[layer.name]
                    kh, kw = given.weight.shape[2:]
                    stride, pad = (layer.integer(3, 1), layer.integer(4)) if layer.type == "Convolution" else (1, 0)
                    acc = 0
                    for i in range(c):
                        for dy in range(kh):
                            for dx in range(kw):
                                yy, xx = y * stride + dy - pad, z * stride + dx - pad
                                if 0 <= yy < h and 0 <= xx < w:
                                    acc += int(given.weight[o, i, dy, dx]) * x[i][yy][xx]
                    wide = halves_away(Fraction(acc * int(given.factor[o]), 1024)) + int(given.bias[o])
                    out[o][y][z] = byte(wide * m)
                elif layer.type == "ReLU":
                    out[o][y][z] = byte(max(x[o][y][z], 0) * m)
                elif layer.type == "Eltwise":
                    other = maps[layer.inputs[1]][o][y][z]
                    fine, coarse = (x[o][y][z], other) if layer.integer(16) else (other, x[o][y][z])
                    out[o][y][z] = byte((fine + halves_away(coarse * factor(layer, 17))) * m)
                elif layer.integer(4):
                    out[o][y][z] = byte(Fraction(sum(map(sum, x[o])), h * w) * m)
                else:
                    k, s = layer.integer(1), layer.integer(2)
                    window = [x[o][y * s + dy][z * s + dx] for dy in range(k) for dx in range(k)]
                    out[o][y][z] = byte(max(window) * m)
    return out


def test_every_layer_is_that_of_a_slow_reference_in_whole_numbers(
    residual_file: bytes, images: npt.NDArray[np.uint8]
) -> None:
    simulator = AwnnSimulator(residual_file)
    seen: dict[str, npt.NDArray[np.int8]] = {}
    simulator.run(images[:1], lambda layer, y: seen.update(dict.fromkeys(layer.outputs, y[:, 0])))
    kinds = set()
    for layer in simulator.network.layers:
        kinds.add(layer.type)
        if layer.type not in ("Input", "Split"):
            maps = {blob: seen[blob].tolist() for blob in layer.inputs}
            assert slow_layer(layer, simulator.network, maps) == seen[layer.outputs[0]].tolist(), layer.name
    assert kinds == {"Input", "Convolution", "ReLU", "Pooling", "Split", "Eltwise", "InnerProduct"}


def test_the_image_becomes_int8_by_mean_norm_and_scale(residual_file: bytes) -> None:
    seen = {}
    image = np.arange(3 * 32 * 32).reshape(1, 3, 32, 32).astype(np.uint8)
    AwnnSimulator(residual_file).run(image, lambda layer, y: seen.setdefault(layer.type, y))
    wanted = [byte((Fraction(int(v)) - Fraction(255, 2)) / 128 * 127) for v in image.ravel()]
    assert seen["Input"].ravel().tolist() == wanted


def test_the_answer_does_not_depend_on_how_many_images_run_at_once(
    residual_file: bytes, images: npt.NDArray[np.uint8]
) -> None:
    together = AwnnSimulator(residual_file)
    alone = AwnnSimulator(residual_file)
    alone.chunk = 1
    np.testing.assert_array_equal(together.run(images), alone.run(images))
    assert together.run(images[:0]).shape == (0, 4)


def test_images_of_another_size_are_refused(residual_file: bytes) -> None:
    with pytest.raises(InvalidInput, match="the model eats uint8"):
        AwnnSimulator(residual_file).run(np.zeros((1, 3, 16, 16), np.uint8))


def changed(data: bytes, old: str, new: str) -> Container:
    model = parse(data)
    param = model.param.replace(old.encode(), new.encode(), 1)
    assert param != model.param
    return parse(pack(Container(**{**vars(model), "param": param})))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("0=32 1=32 2=3", "0=64 1=32 2=3", "input .h, w, c. is .32, 32, 3. in the JSON"),
        ("0=32 1=32 2=3", "0=99999 1=99999 2=3", "layer input0 .*an input of w, h, c"),
        ("20=1", "20=0", "layer stem .*does not run in int8"),
        ("22=15", "22=77", "shift 77 .* out of range"),
        ("25=1", "25=0", "layer stem .*no factor per output channel"),
        ("23=1", "23=2", "not a plain ReLU"),
        ("-23329=1,127.000000", "-23329=1,-1.0", "layer input0 .*positive scales"),
        ("output0", "other", "the board's script knows input0 and output0"),
        ("ReLU ", "HardSwish ", "layer stem_relu .*not simulated"),
    ],
)
def test_what_the_npu_could_not_run_is_named(residual_file: bytes, old: str, new: str, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        AwnnSimulator(changed(residual_file, old, new))
    assert caught.value.fix


def test_it_needs_no_torch(residual_file: bytes) -> None:
    code = (
        "import sys; from services.trainer.convert import simulator\n"
        "simulator('v831-awnn-int8', sys.stdin.buffer.read())\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=residual_file, check=True, timeout=60)
