from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator
from services.trainer.convert.kmodel_v3.writer import write
from tests.trainer.convert.networks import pictures

FUZZ = int(os.environ.get("BOARDLOOP_FUZZ", "3000"))  # mutated files; the seed is fixed
INTERESTING = (0, 1, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 10240)


def test_golden_files_are_written_again_byte_for_byte(shared: Path) -> None:
    files = sorted((shared / "vectors/kmodel_v3").glob("*.kmodel"))
    assert files
    for file in files:
        data = file.read_bytes()
        assert write(read(data)) == data, file.name


def test_zeros_behind_the_last_body_are_kept(small_file: bytes) -> None:
    assert write(read(small_file + bytes(8))) == small_file + bytes(8)


@pytest.mark.parametrize("length", [0, 3, 27, 40, 400, 5000])
def test_a_truncated_file_is_refused_with_the_offset(small_file: bytes, length: int) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        read(small_file[:length])
    assert caught.value.reason == "KMODEL_TRUNCATED"
    assert int(caught.value.metadata["offset"]) <= length
    assert "byte" in caught.value.message


def patched(data: bytes, offset: int, *values: int) -> bytes:
    return data[:offset] + struct.pack(f"<{len(values)}I", *values) + data[offset + 4 * len(values) :]


@pytest.mark.parametrize(
    ("offset", "value", "says"),
    [
        (0, 4, "this is version 4, not kmodel V3"),
        (0, 0x4B4D444C, "this is kmodel V4 or V5, not kmodel V3"),
        (4, 0, "16-bit weights are not supported"),
        (8, 1, "architecture 1 is not the K210"),
        (12, 0, "0 layers"),
        (12, 100_000, "100000 layers"),
        (20, 1 << 30, "1073741824 bytes of main memory"),
        (28, 1 << 20, "output 0 .* is not in main memory"),
    ],
)
def test_a_wrong_header_field_is_named_with_its_offset(small_file: bytes, offset: int, value: int, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        read(patched(small_file, offset, value))
    assert caught.value.metadata["offset"] == str(offset)


def test_registers_that_contradict_the_shape_are_refused(small_file: bytes) -> None:
    first = read(small_file).offsets[0]
    registers_at = struct.unpack_from("<6I", small_file, first)[2]
    row_switch = registers_at + 7 * 8 + 2  # word 7, bits 16 to 19
    damaged = bytearray(small_file)
    damaged[row_switch] ^= 1
    with pytest.raises(UnsupportedModel, match="register word 7") as caught:
        read(bytes(damaged))
    assert caught.value.metadata["offset"] == str(registers_at + 7 * 8)


def test_offsets_outside_their_body_are_refused(small_file: bytes) -> None:
    first, second = read(small_file).offsets[:2]
    with pytest.raises(UnsupportedModel, match=r"the weights .* lie outside their body"):
        read(patched(small_file, first + 12, second + 64))


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four damages: a bit, a word, a cut, a repeated piece. Half of them hit headers and register words."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        limit = len(out) if rng.random() < 0.5 else min(len(out), 700)
        at = int(rng.integers(0, max(limit - 4, 1)))
        kind = rng.integers(0, 6)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind <= 3 and len(out) >= at // 4 * 4 + 4:
            struct.pack_into("<I", out, at // 4 * 4, int(rng.choice(INTERESTING)))
        elif kind == 4:
            del out[at : at + int(rng.integers(1, 64))]
        else:
            out[at:at] = out[at : at + int(rng.integers(1, 64))]
    return bytes(out)


def test_mutated_files_are_run_or_refused_with_an_offset(
    small_file: bytes, cpu_file: bytes, residual_file: bytes
) -> None:
    rng = np.random.default_rng(2026)
    image = pictures(1)[0]
    accepted = 0
    for i in range(FUZZ):
        data = mutated((small_file, cpu_file, residual_file)[i % 3], rng)
        started = time.monotonic()
        try:
            simulator = KModelSimulator(data)
        except UnsupportedModel as refused:
            assert 0 <= int(refused.metadata["offset"]) <= len(data), f"mutation {i}: {refused}"
            assert refused.fix
        else:
            accepted += 1
            run_or_overflow(simulator, image)
        assert time.monotonic() - started < 20, f"mutation {i} keeps the simulator busy"
    assert 0 < accepted < FUZZ


def run_or_overflow(simulator: KModelSimulator, image: np.ndarray) -> None:
    """A damaged weight runs; a damaged norm may leave the 36 bits, which is the one error of a run."""
    assert simulator.input_shape == (3, 32, 32), "the registers tie the shape to the file"
    try:
        assert simulator.run(image).shape == (1, simulator.outputs)
    except UnsupportedModel as refused:
        assert refused.reason == "KMODEL_OVERFLOW"
