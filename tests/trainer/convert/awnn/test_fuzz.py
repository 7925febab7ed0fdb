"""Damaged files run or are refused: only our own error, no hang, bounded memory."""

from __future__ import annotations

import json
import os
import time
import tracemalloc

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.simulate import AwnnSimulator
from tests.trainer.convert.networks import pictures

FUZZ = int(os.environ.get("BOARDLOOP_FUZZ", "2000"))  # mutated files; the seed is fixed
PIECES = [b"99999999", b"-1", b"0", b"1e9", b" ", b"\n", b"=", b",", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80"]
MEMORY = 200 << 20  # bytes that one file may take; a map is bounded by shapes.MAX_BLOB


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three damages: a byte, a digit, a cut, a repeated piece, a number put in, a number put over something.

    Two thirds of them hit JSON and .param, which are a tenth of the file.
    """
    out = bytearray(data)
    text = 4 + int.from_bytes(data[:4], "big") + json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])["param"]
    for _ in range(rng.integers(1, 4)):
        limit = text if rng.random() < 0.67 else len(out)
        at = int(rng.integers(0, max(min(limit, len(out)), 1)))
        kind = rng.integers(0, 6)
        if kind == 0:
            out[at : at + 1] = bytes([rng.integers(0, 256)])
        elif kind == 1:
            out[at : at + 1] = bytes([48 + rng.integers(0, 10)])  # a digit: often still a file
        elif kind == 2:
            del out[at : at + int(rng.integers(1, 20))]
        elif kind == 3:
            out[at:at] = out[at : at + int(rng.integers(1, 40))]
        else:
            piece = PIECES[rng.integers(0, len(PIECES))]
            out[at : at + (len(piece) if kind == 4 else 0)] = piece
    return bytes(out)


def test_mutated_files_are_run_or_refused(residual_file: bytes, small_file: bytes) -> None:
    rng = np.random.default_rng(2026)
    image = pictures(1)[0]
    accepted = 0
    for i in range(FUZZ):
        data = mutated((residual_file, small_file)[i % 2], rng)
        started = time.monotonic()
        try:
            simulator = AwnnSimulator(data)
        except UnsupportedModel as refused:
            assert refused.fix
            assert refused.reason == "AWNN_ENDS" or refused.metadata.keys() & {"offset", "line", "layer"}
        else:
            accepted += 1
            channels, height, width = simulator.input_shape
            pixels = (
                image if (channels, height, width) == (3, 32, 32) else np.zeros((1, channels, height, width), np.uint8)
            )
            assert np.isfinite(simulator.run(pixels)).all(), f"mutation {i}"
        assert time.monotonic() - started < 20, f"mutation {i} keeps the simulator busy"
    assert 0 < accepted < FUZZ


def test_a_file_that_promises_huge_maps_takes_no_memory(residual_file: bytes) -> None:
    rng = np.random.default_rng(7)
    head = int.from_bytes(residual_file[:4], "big")
    tracemalloc.start()
    try:
        for key in (b"0=32 1=32", b"0=8 ", b"6=216", b"2=64"):
            for value in (b"999999999", b"65535", b"2147483647"):
                changed = key[:2] + value + key[key.find(b" ") :] if b" " in key else key[:2] + value
                data = bytes(residual_file).replace(key, changed, 1)
                size = json.loads(data[4 : 4 + head])["param"] + len(changed) - len(key)
                about = json.dumps(json.loads(data[4 : 4 + head]) | {"param": size}).encode()
                data = len(about).to_bytes(4, "big") + about + data[4 + head :]
                try:
                    AwnnSimulator(data).run(rng.integers(0, 256, (1, 3, 32, 32)).astype(np.uint8))
                except UnsupportedModel as refused:
                    assert refused.fix
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
