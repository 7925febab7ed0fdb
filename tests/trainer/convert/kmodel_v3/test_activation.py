from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.trainer.convert.kmodel_v3.activation import TABLE_BYTES, ActivationTable, leaky, ramp
from services.trainer.convert.kmodel_v3.kpu import Rounding, apply_table
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.reader import read


def test_the_ramp_is_the_table_of_files_that_run_on_boards(shared: Path) -> None:
    model = read((shared / "vectors/kmodel_v3/mnist.kmodel").read_bytes())
    assert isinstance(model.layers[0], KpuConv)
    assert model.layers[0].activation == ramp(10)


@pytest.mark.parametrize("table", [ramp(10), ramp(18), leaky(0.1, 77, 16), leaky(1.0, 0, 10)])
def test_bytes_read_back(table: ActivationTable) -> None:
    assert len(table.to_bytes()) == TABLE_BYTES
    assert ActivationTable.from_bytes(table.to_bytes()) == table


def test_a_reserved_bit_is_refused() -> None:
    data = bytearray(ramp(10).to_bytes())
    data[7] |= 0x80
    with pytest.raises(ValueError, match="reserved"):
        ActivationTable.from_bytes(bytes(data))


@pytest.mark.parametrize("prescale", [10, 16, 18])
@pytest.mark.parametrize("slope", [0.01, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("zero_point", [0, 5, 80, 255])
def test_leaky_follows_the_function_within_half_a_step(slope: float, zero_point: int, prescale: int) -> None:
    real = np.linspace(-300 / slope, 300, 4001)
    v = np.rint(real * 2**prescale).astype(np.int64)
    wanted = np.clip(np.where(real < 0, slope * real, real) + zero_point, 0, 255)
    got = apply_table(leaky(slope, zero_point, prescale), v, Rounding.HALF_AWAY)
    assert np.abs(got - wanted).max() < 0.51


def test_ramp_shift_knows_the_plain_ramp_and_nothing_else() -> None:
    assert ramp(16).ramp_shift(1 << 34) == 16
    assert leaky(0.1, 60, 16).ramp_shift(1 << 34) is None
    assert ramp(16).ramp_shift((1 << 35) - 1) is None, "the last segments begin below that value"
