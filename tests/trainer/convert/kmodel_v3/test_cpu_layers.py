"""Every CPU layer against loops over single numbers, as kpu.c computes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer, MainMemory
from services.trainer.convert.kmodel_v3.cpu_bytes import (
    ChannelwiseDequantize,
    Concat,
    Dequantize,
    MaxPool2d,
    Quantize,
    QuantizedAdd,
    QuantizedConcat,
    QuantizedResizeNearest,
    RemovePadding,
    Requantize,
)
from services.trainer.convert.kmodel_v3.cpu_float import (
    Add,
    AveragePool,
    FullyConnectedLayer,
    GlobalAveragePool2d,
    L2Norm,
    Logistic,
    ResizeNearest,
    SoftmaxLayer,
    TfFlatten,
)
from services.trainer.convert.kmodel_v3.cpu_layers import CPU_LAYERS

F = np.float32
OUT = 1024  # where every layer of these tests writes


def floats(layer: CpuLayer, count: int, **inputs: np.ndarray) -> np.ndarray:
    return run(layer, inputs).floats(OUT, count)[0]


def data(layer: CpuLayer, count: int, **inputs: np.ndarray) -> np.ndarray:
    return run(layer, inputs).bytes(OUT, count)[0]


def run(layer: CpuLayer, inputs: dict[str, np.ndarray]) -> MainMemory:
    """`inputs`: a<address> = values."""
    memory = MainMemory(1, 4096)
    for name, values in inputs.items():
        raw = np.frombuffer(values.tobytes(), np.uint8)
        memory.bytes(int(name[1:]), len(raw))[0] = raw
    layer.run(memory)
    return memory


def random_floats(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=count).astype(F)


def random_bytes(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, count, np.uint8)


def test_add() -> None:
    a, b = random_floats(9), random_floats(10)[:9]
    assert (floats(Add(1, 0, 64, OUT, 9), 9, a0=a, a64=b) == [x + y for x, y in zip(a, b, strict=True)]).all()


def carry(value: int, shift: int) -> int:
    """kpu.c, kpu_carry_shift."""
    if shift <= 0:
        return value
    value >>= shift - 1
    if value & 1:
        return (value >> 1) + (-1 if value < 0 else 1)
    return value >> 1


@pytest.mark.parametrize("shifts", [(4, 4), (3, 5)])
def test_quantized_add(shifts: tuple[int, int]) -> None:
    a, b = random_bytes(16), random_bytes(17)[:16]
    layer = QuantizedAdd(1, 0, 64, OUT, 14, -100, 700, shifts[0], -90, 650, shifts[1], 60, 77, 13)
    wanted = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        p, q = (x - 100) * 700, (y - 90) * 650
        total = (p + q) >> 4 if shifts[0] == shifts[1] else (p >> shifts[0]) + (q >> shifts[1])
        wanted.append(min(255, max(0, carry(total * 77, 13) + 60)))
    assert data(layer, 16, a0=a, a64=b).tolist() == wanted, "the runtime rounds the count up to eight"


def test_global_average_adds_from_left_to_right() -> None:
    x = random_floats(150) * F(1e4)
    wanted = []
    for c in range(3):
        total = F(0)
        for value in x[50 * c : 50 * c + 50]:
            total = total + value
        wanted.append(total / F(50))
    assert floats(GlobalAveragePool2d(1, 0, OUT, 50, 3), 3, a0=x).tolist() == [float(w) for w in wanted]


def window(maps: np.ndarray, c: int, y: int, x: int) -> list:
    """Values under a 3x2 window, stride 2 x 1, padding 1 x 1, of (c, 5, 4) maps."""
    rows, columns = range(2 * y - 1, 2 * y + 2), range(x - 1, x + 1)
    return [maps[c, j, i] for j in rows for i in columns if 0 <= j < 5 and 0 <= i < 4]


WINDOW = {"in": (4, 5, 2), "out": (4, 3, 2), "kernel": (2, 3), "stride": (1, 2), "padding": (1, 1)}
WINDOW_FIELDS = tuple(value for group in WINDOW.values() for value in group)


def test_max_pool() -> None:
    x = random_bytes(40)
    maps = x.reshape(2, 5, 4)
    wanted = [max(window(maps, c, j, i)) for c in range(2) for j in range(3) for i in range(4)]
    assert data(MaxPool2d(1, 0, OUT, *WINDOW_FIELDS), 24, a0=x).tolist() == wanted


def test_average_pool_divides_by_the_part_inside() -> None:
    x = random_floats(40)
    maps = x.reshape(2, 5, 4)
    wanted = []
    for c in range(2):
        for j in range(3):
            for i in range(4):
                total = F(0)
                values = window(maps, c, j, i)
                for value in values:
                    total = total + value
                wanted.append(float(total / F(len(values))))
    assert floats(AveragePool(1, 0, OUT, *WINDOW_FIELDS, 0), 24, a0=x).tolist() == wanted


def test_quantize_rounds_ties_away_from_zero_and_clamps() -> None:
    x = np.array([0.25, 0.75, 1.25, -0.3, 1e6, -1e6], F)
    assert data(Quantize(0, 0, OUT, 6, 0.5, -1.0), 6, a0=x).tolist() == [3, 4, 5, 1, 255, 0]


def test_dequantize_and_channelwise() -> None:
    x = random_bytes(12)
    assert (floats(Dequantize(1, 0, OUT, 12, 0.1, -3.0), 12, a0=x) == x.astype(F) * F(0.1) + F(-3)).all()
    parameters = np.array([[0.5, 1], [0.25, -2], [2, 0]], F)
    wanted = [float(F(v) * parameters[i // 4, 0] + parameters[i // 4, 1]) for i, v in enumerate(x.tolist())]
    assert floats(ChannelwiseDequantize(1, 0, OUT, 3, 4, parameters), 12, a0=x).tolist() == wanted


def test_requantize_looks_up() -> None:
    table = bytes(random_bytes(256))
    x = random_bytes(20)
    assert data(Requantize(1, 0, OUT, 20, table), 20, a0=x).tolist() == [table[v] for v in x]


def test_l2_norm() -> None:
    x = random_floats(30)
    assert np.allclose(floats(L2Norm(1, 0, OUT, 30), 30, a0=x), x / math.sqrt((x.astype(float) ** 2).sum()), rtol=1e-6)
    assert (floats(L2Norm(1, 0, OUT, 2), 2, a0=np.zeros(2, F)) == 0).all()


def test_softmax_and_its_flaw_below_minus_87() -> None:
    x = np.array([1.0, 2.0, -3.0], F)
    powers = [math.exp(v) for v in x]
    assert np.allclose(floats(SoftmaxLayer(1, 0, OUT, 3), 3, a0=x), np.array(powers) / sum(powers), rtol=1e-6)
    with np.errstate(invalid="ignore"):
        lost = floats(SoftmaxLayer(1, 0, OUT, 2), 2, a0=np.array([-200, -300], F))
    assert np.isnan(lost).all(), "the runtime's maximum starts at FLT_MIN"


def test_logistic() -> None:
    x = np.array([-2, 0, 3], F)
    assert np.allclose(floats(Logistic(1, 0, OUT, 3), 3, a0=x), 1 / (1 + np.exp(-x.astype(float))), rtol=1e-6)


@pytest.mark.parametrize("cls", [Concat, QuantizedConcat])
def test_concat_copies_bytes(cls: type[Concat]) -> None:
    x, y = random_bytes(5), random_bytes(9)
    assert data(cls(1, OUT, 2, ((64, 9), (0, 5))), 14, a0=x, a64=y).tolist() == [*y, *x]


@pytest.mark.parametrize(("activation", "low", "high"), [(0, -np.inf, np.inf), (1, 0, np.inf), (2, 0, 6)])
def test_fully_connected(activation: int, low: float, high: float) -> None:
    x, weights, bias = random_floats(7), 5 * random_floats(28).reshape(4, 7), random_floats(4)
    wanted = []
    for o in range(4):
        total = F(0)
        for i in range(7):
            total = total + x[i] * weights[o, i]
        wanted.append(float(np.clip(total + bias[o], F(low), F(high))))
    layer = FullyConnectedLayer(0, 0, OUT, 7, 4, activation, weights, bias)
    assert floats(layer, 4, a0=x).tolist() == wanted


def test_flatten_goes_from_chw_to_hwc() -> None:
    x = random_floats(24)
    wanted = [x[(c * 3 + j) * 4 + i] for j in range(3) for i in range(4) for c in range(2)]
    assert floats(TfFlatten(1, 0, OUT, 4, 3, 2), 24, a0=x).tolist() == wanted


def test_resize_takes_the_nearest_below() -> None:
    x = random_bytes(24)
    wanted = [x[(c * 3 + j * 3 // 7) * 4 + i * 4 // 6] for c in range(2) for j in range(7) for i in range(6)]
    assert data(QuantizedResizeNearest(1, 0, OUT, 4, 3, 2, 6, 7, 0), 84, a0=x).tolist() == wanted
    f = x.astype(F)
    assert floats(ResizeNearest(1, 0, OUT, 4, 3, 2, 6, 7, 0), 84, a0=f).tolist() == [float(v) for v in wanted]


def test_remove_padding_takes_every_sixteenth_byte() -> None:
    x = random_bytes(64)
    assert data(RemovePadding(1, 0, OUT, 4), 4, a0=x).tolist() == [x[0], x[16], x[32], x[48]]


def test_every_type_writes_and_reads_its_own_bytes() -> None:
    """Fields are numbered 1, 2, 3 … so that two swapped fields show."""
    for kind, cls in CPU_LAYERS.items():
        body = np.arange(1, 200, dtype="<u4").tobytes()
        if kind in (16, 17, 18, 24):
            continue  # their length depends on their fields: converted files and the tests above cover them
        layer = cls.parse(memoryview(body))
        assert layer.to_bytes() == body[: len(layer.to_bytes())], cls.NAME
        assert cls.NAME and kind == cls.TYPE
