from __future__ import annotations

import os
import struct
import time

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.tinymaix.layers import AddLayer, ConvLayer, Kind
from services.trainer.convert.tinymaix.reader import read
from services.trainer.convert.tinymaix.simulate import TmdlSimulator
from services.trainer.convert.tinymaix.writer import write

FUZZ = int(os.environ.get("BOARDLOOP_FUZZ", "2000"))  # mutated files; the seed is fixed
INTERESTING = (0, 1, 3, 4, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 4096)


def test_a_file_is_written_again_byte_for_byte(int8_file: bytes, residual_file: bytes, fp32_file: bytes) -> None:
    for data in (int8_file, residual_file, fp32_file):
        assert write(read(data)) == data


def test_the_reader_finds_out_which_layer_reads_which(residual_file: bytes) -> None:
    model = read(residual_file)
    sums = [sources for layer, sources in zip(model.layers, model.sources, strict=True) if isinstance(layer, AddLayer)]
    assert sums == [(1, 0), (6, 3), (7, 1)], "the ReLU behind the first addition is layer 3"


@pytest.mark.parametrize("length", [0, 3, 63, 64, 100, 143, 200, 2000])
def test_a_truncated_file_is_refused_with_the_offset(int8_file: bytes, length: int) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        read(int8_file[:length])
    assert caught.value.reason == "TMDL_TRUNCATED"
    assert int(caught.value.metadata["offset"]) <= length


@pytest.mark.parametrize(
    ("offset", "code", "value", "says"),
    [
        (0, "I", 0x4B4D444C, "begins with b'LDMK'"),
        (4, "B", 1, "int16 is not supported"),
        (4, "B", 3, "fp16 is not supported"),
        (6, "H", 2, "2 inputs"),
        (10, "H", 0, "0 layers"),
        (12, "I", 1 << 30, "a buffer of 1073741824 bytes"),
        (12, "I", 3000, "an image of 3072 bytes"),
        (12, "I", 5000, "layer 0 writes 4096 bytes"),
        (16, "I", 8, "a second buffer"),
        (20, "H", 4, "dimensions"),
        (40, "I", 1, "reserved bytes"),
        (64, "H", 9, "layer type 9 is unknown"),
        (72, "I", 8, "none wrote as such"),
        (76, "I", 0, "over its own input"),
        (96, "f", -1.0, "a scale of -1"),
        (96, "f", float("nan"), "a scale of nan"),
        (100, "i", 128, "a zero point of 128"),
        (112, "B", 0, "kernel 3x0"),
        (116, "B", 2, "dilated"),
        (118, "H", 2, "activation 2"),
        (120, "B", 3, "padding"),
        (124, "I", 1, "depth multiplier 1"),
        (132, "I", 88, "an array at 88 of its layer"),
    ],
)
def test_a_wrong_field_is_named_with_its_offset(
    int8_file: bytes, offset: int, code: str, value: float, says: str
) -> None:
    packed = struct.pack(f"<{code}", value)
    with pytest.raises(UnsupportedModel, match=says) as caught:
        read(int8_file[:offset] + packed + int8_file[offset + len(packed) :])
    assert caught.value.reason == "TMDL_MALFORMED" and caught.value.fix
    assert 0 <= int(caught.value.metadata["offset"]) <= max(offset, 96)


def test_sums_that_could_overflow_are_refused(int8_file: bytes) -> None:
    layer = read(int8_file).layers[0]
    assert isinstance(layer, ConvLayer)
    at = 64 + 80 + 64 + layer.weight.size  # head, scales and weights of the first layer come before its biases
    with pytest.raises(UnsupportedModel, match="overflow 32 bits"):
        read(int8_file[:at] + struct.pack("<i", 2**31 - 1) + int8_file[at + 4 :])


def test_bytes_behind_the_last_layer_are_refused(int8_file: bytes) -> None:
    with pytest.raises(UnsupportedModel, match="8 bytes behind the last layer"):
        read(int8_file + bytes(8))


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes; most hit heads, where the offsets and sizes are."""
    heads = read(data).starts
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        start = int(rng.choice([0, *heads]))
        spot = int(rng.integers(len(data))) if rng.integers(3) == 0 else start + int(rng.integers(88))
        spot = min(spot, len(changed) - 4)
        match int(rng.integers(4)):
            case 0:
                changed[spot] = int(rng.integers(256))
            case 1:
                changed[spot] ^= 1 << int(rng.integers(8))
            case 2:
                struct.pack_into("<I", changed, spot // 4 * 4, int(rng.choice(INTERESTING)))
            case _:
                struct.pack_into("<H", changed, spot // 2 * 2, int(rng.choice(INTERESTING)) & 0xFFFF)
    if rng.integers(20) == 0:
        del changed[int(rng.integers(len(changed))) :]
    return bytes(changed)


def test_mutated_files_are_run_or_refused_with_an_offset(
    int8_file: bytes, residual_file: bytes, fp32_file: bytes
) -> None:
    rng = np.random.default_rng(2026)
    accepted = 0
    for i in range(FUZZ):
        data = mutated((int8_file, residual_file, fp32_file)[i % 3], rng)
        started = time.monotonic()
        try:
            simulated = TmdlSimulator(data)
        except UnsupportedModel as refused:
            assert 0 <= int(refused.metadata["offset"]) <= len(data), f"mutation {i}: {refused}"
            assert refused.fix
        else:
            accepted += 1
            with np.errstate(all="ignore"):  # a damaged float weight overflows to infinity, as on the chip
                simulated.run(np.full((1, *simulated.input_shape), 77, np.uint8))
        assert time.monotonic() - started < 20, f"mutation {i} keeps the simulator busy"
    assert 0 < accepted < FUZZ


def test_every_kind_of_layer_is_in_the_fuzzed_files(int8_file: bytes, residual_file: bytes, fp32_file: bytes) -> None:
    kinds = {layer.head.kind for data in (int8_file, residual_file, fp32_file) for layer in read(data).layers}
    assert kinds == {Kind.CONV, Kind.DWCONV, Kind.GAP, Kind.FC, Kind.ADD, Kind.RESHAPE}
