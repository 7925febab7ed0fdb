from __future__ import annotations

import re

import pytest

from services.common.boards import BOARD_FORMATS, goes_to_boards
from services.trainer.convert import TARGETS
from tests.conftest import ROOT


@pytest.mark.parametrize("board_type", BOARD_FORMATS)
def test_each_type_has_the_format_of_its_port(board_type: str) -> None:
    port = (ROOT / "device" / "ports" / f"{board_type}.py").read_text()
    assert re.findall(r'^    model_format = "(\w+)"', port, re.MULTILINE) == [BOARD_FORMATS[board_type]]


def test_the_k210_target_goes_to_boards_and_no_format_goes_to_boards_of_another_type() -> None:
    target = TARGETS["k210-kmodel-v3"]
    assert goes_to_boards(target.board_type, target.format)
    assert not goes_to_boards("k210", "kmodel_v5") and not goes_to_boards("v831", "kmodel_v3")
    assert not goes_to_boards("web", "onnx")
