from __future__ import annotations

import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import ConvertOptions
from services.trainer.convert.kmodel_v3.firmware import FIRMWARE, board_memory, check_size

MIB = 1 << 20


def test_every_firmware_has_its_need_and_its_budget() -> None:
    boards = board_memory(900_000, 100_000)
    assert [board.firmware for board in boards] == list(FIRMWARE)
    assert all(board.fits for board in boards)
    assert {b.firmware: b.fits for b in board_memory(int(1.5 * MIB), 0)} == {
        "MaixPy-v1 full": False,
        "MaixPy-v1 minimum": True,
        "MaixPy-v1 minimum with kmodel V4": False,
        "CanMV": False,
    }


@pytest.mark.parametrize(("firmware", "fits"), [("", 1.75), ("MaixPy-v1 minimum", 1.75), ("MaixPy-v1 full", 0.95)])
def test_the_named_firmware_decides_what_is_too_large(firmware: str, fits: float) -> None:
    check_size(int(fits * MIB), 0, ConvertOptions(firmware=firmware))
    too_much = int((fits + 0.1) * MIB)
    with pytest.raises(UnsupportedModel, match=f"MaixPy-v1 {firmware[10:] or 'minimum'} has about") as caught:
        check_size(too_much, 0, ConvertOptions(firmware=firmware))
    assert caught.value.reason == "MODEL_TOO_LARGE"
    check_size(too_much, 0, ConvertOptions(firmware=firmware, allow_oversize=True))


def test_an_unknown_firmware_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="CanMV"):
        check_size(1, 1, ConvertOptions(firmware="DOS"))
