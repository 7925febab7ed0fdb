from __future__ import annotations

import os
import time

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.convert.onnx_file.read import from_onnx
from services.trainer.convert.onnx_file.write import to_onnx
from tests.trainer.convert.networks import small
from tests.trainer.convert.onnx_file.test_write import residual
from tests.trainer.convert.onnx_file.torch_networks import exported, networks

FUZZ = int(os.environ.get("BOARDLOOP_FUZZ", "2000"))  # mutated files; the seed is fixed
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 0x0A, 0x12, 0x22, 0x2A, 0x3A, 0x7F, 0x80, 0xFE, 0xFF)


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    modules = networks()
    torch_files = [
        exported(modules[name], opset) for name, opset in (("lenet", 11), ("averaged", 13), ("resnet_v2", 18))
    ]
    return [to_onnx(small(), pixels="uint8"), to_onnx(residual(), batch=None), *torch_files]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four damages: a bit, a byte, a varint of ten bytes, a cut, a repeated piece, a piece from elsewhere."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, other = (int(v) for v in rng.integers(0, max(len(out) - 4, 1), 2))
        match rng.integers(0, 7):
            case 0:
                out[at] ^= 1 << int(rng.integers(0, 8))
            case 1 | 2 | 3:
                out[at] = int(rng.choice(INTERESTING))
            case 4:
                out[at : at + 1] = b"\xff" * 9 + b"\x01"
            case 5:
                del out[at : at + int(rng.integers(1, 64))]
            case 6:
                out[at:at] = out[other : other + int(rng.integers(1, 64))]
    return bytes(out)


def test_mutated_files_are_read_or_refused(files: list[bytes]) -> None:
    rng = np.random.default_rng(2026)
    accepted = 0
    for i in range(FUZZ):
        data = mutated(files[i % len(files)], rng)
        started = time.monotonic()
        try:
            graph = from_onnx(data)
        except InvalidInput as refused:
            assert refused.fix, f"mutation {i}: {refused}"
        else:
            accepted += 1
            assert graph.shapes()
        assert time.monotonic() - started < 10, f"mutation {i} keeps the reader busy"
    assert 0 < accepted < FUZZ
