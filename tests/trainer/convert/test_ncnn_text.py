from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.ncnn_bin import LayerWeights, read_weights, write_weights
from services.trainer.convert.ncnn_text import ParamLayer, read_param, write_param

FUZZ = int(os.environ.get("BOARDLOOP_FUZZ", "1500"))  # mutated texts and as many mutated weights; the seed is fixed
NET = "7767517\n2 2\nInput input0 0 1 input0 0=8 1=8 2=3\nConvolution c 1 1 input0 out 0=2 1=3 4=1 5=1 6=54\n"


def weights(dtype: type = np.float32) -> LayerWeights:
    rng = np.random.default_rng(0)
    return LayerWeights((9 * rng.normal(size=(2, 3, 3, 3))).astype(dtype), np.array([1.5, -2], np.float32))


def test_the_vendors_texts_are_written_again_byte_for_byte(shared: Path) -> None:
    for folder in (shared / "vectors/awnn").iterdir():
        plain, aligned = ((folder / name).read_bytes() for name in ("float.param", "int8.param"))
        assert write_param(read_param(plain)).encode() == plain, folder.name
        assert write_param(read_param(aligned), aligned=True).encode() == aligned, folder.name


def test_the_vendors_weights_are_written_again_byte_for_byte(shared: Path) -> None:
    for folder in (shared / "vectors/awnn").iterdir():
        layers, data = read_param((folder / "float.param").read_bytes()), (folder / "float.bin").read_bytes()
        assert write_weights(layers, read_weights(layers, data)) == data, folder.name


def test_spacing_does_not_matter_and_values_keep_their_type() -> None:
    layers = read_param("\n 7767517 \r\n1  1\r\n\r\nClip   a\t0 1  x 0=0.0 1=6 -23302=3,1,2.5,1e-3 3=1,2\n")
    assert layers[0] == ParamLayer("Clip", "a", (), ("x",), {0: 0.0, 1: 6, -23302: (1, 2.5, 1e-3), 3: (1, 2)})
    assert isinstance(layers[0].params[0], float) and isinstance(layers[0].params[1], int)
    assert layers[0].numbers(2) == (1.0, 2.5, 1e-3)


@pytest.mark.parametrize("value", [6.0, 1e-9, 0.1, 12345678.0, -3.3e20])
def test_a_float_is_written_as_a_float_and_loses_nothing(value: float) -> None:
    text = write_param([ParamLayer("Clip", "a", (), ("x",), {1: value})])
    read = read_param(text)[0].params[1]
    assert isinstance(read, float) and np.float32(read) == np.float32(value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "does not begin with 7767517"),
        ("7767517", 2, "counts of layers and blobs are missing"),
        (NET.replace("2 2", "2 -2"), 2, "2 layers and -2 blobs"),
        (NET.replace("2 2", "2000000000 2"), 2, "at most 8192"),
        (NET.replace("2 2", "3 2"), 4, "2 layers stand here, line 2 says 3"),
        (NET.replace("2 2", "2 3"), 2, "3 blobs are announced, the layers make 2"),
        (NET.replace("1 1 input0", "1 1 nothing"), 4, "reads the blob 'nothing'"),
        (NET.replace("input0 out", "input0 input0"), 4, "makes the blob 'input0' a second time"),
        (NET.replace("c 1 1", "c 1 3"), 4, "1 inputs and 3 outputs are announced, fewer are named"),
        (NET.replace("c 1 1", "c 1 999999999"), 4, "are 0 to 256"),
        (NET.replace("6=54", "6=x"), 4, "'6=x' is not a number"),
        (NET.replace("6=54", "6=9999999999"), 4, "is not a number"),
        (NET.replace("6=54", "6=nan"), 4, "is not a number"),
        (NET.replace("6=54", "77=1"), 4, "ncnn has the parameters 0 to 31"),
        (NET.replace("6=54", "-23300=3,1"), 4, "an array has its length first; 1 values follow"),
        (NET.replace("6=54", "5=1"), 4, "parameter 5 stands twice"),
        (NET.replace("out", "o" * 300), 4, "longer than 255"),
    ],
)
def test_what_ncnn_could_not_load_is_refused_with_the_line(text: str, line: int, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        read_param(text)
    assert caught.value.metadata["line"] == str(line)
    assert f"(line {line})" in caught.value.message and caught.value.fix


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_weights_of_every_kind_come_back_as_they_were(dtype: type) -> None:
    layers, given = read_param(NET), weights(dtype)
    got = read_weights(layers, write_weights(layers, {"c": given}))["c"]
    assert got.weight.dtype == dtype and got.bias is not None
    np.testing.assert_array_equal(got.weight, given.weight)
    np.testing.assert_array_equal(got.bias, [1.5, -2])


def test_int8_scales_are_read_behind_the_bias() -> None:
    layers = read_param(NET.replace("6=54", "6=54 8=101"))
    given = LayerWeights(np.ones((2, 3, 3, 3), np.int8), np.zeros(2, np.float32), np.array([7, 8], np.float32), 9.0, 10)
    got = read_weights(layers, write_weights(layers, {"c": given}))["c"]
    assert got.weight_scales is not None and got.weight_scales.tolist() == [7, 8]
    assert (got.input_scale, got.output_scale) == (9.0, 10.0)


def test_weights_that_do_not_fit_are_refused_with_the_offset() -> None:
    layers = read_param(NET)
    data = write_weights(layers, {"c": weights()})
    for bad, offset, says in (
        (data[:100], 4, "layer c needs 216 bytes, 96 are left"),
        (data + bytes(4), len(data), "4 bytes are left behind the last layer"),
        (struct.pack("<I", 77) + data[4:], 0, "tag 0x0000004d"),
        (b"", 0, "ends before the weights of layer c"),
    ):
        with pytest.raises(UnsupportedModel, match=says) as caught:
            read_weights(layers, bad)
        assert caught.value.metadata["offset"] == str(offset)


def test_a_layer_whose_weights_are_unknown_is_named() -> None:
    layers = read_param(NET.replace("Convolution c", "PReLU slope"))
    with pytest.raises(UnsupportedModel, match=r"layer slope \(PReLU\)"):
        read_weights(layers, b"")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three damages: a byte, a cut, a repeated piece, a huge number."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, max(len(out), 1)))
        kind = rng.integers(0, 4)
        if kind == 0 and out:
            out[at] = int(rng.integers(0, 256))
        elif kind == 1:
            del out[at : at + int(rng.integers(1, 20))]
        elif kind == 2:
            out[at:at] = out[at : at + int(rng.integers(1, 20))]
        else:
            out[at:at] = bytes(rng.choice([b"99999999", b"-1", b" ", b"\n", b"=", b","]))
    return bytes(out)


def test_mutated_files_are_read_or_refused() -> None:
    rng = np.random.default_rng(2026)
    layers = read_param(NET)
    data = write_weights(layers, {"c": weights()})
    read = 0
    for _ in range(FUZZ):
        try:
            read_weights(read_param(mutated(NET.encode(), rng)), mutated(data, rng) if rng.random() < 0.3 else data)
            read += 1
        except UnsupportedModel as refused:
            assert refused.fix and ("line" in refused.metadata or refused.metadata.keys() & {"offset", "layer"})
    assert 0 < read < FUZZ
