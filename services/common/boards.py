"""Which model file the boards of each type load: what releases may carry, and pages may offer for one."""

from __future__ import annotations

__all__ = ["BOARD_FORMATS", "board_type_of", "goes_to_boards"]

BOARD_FORMATS = {"k210": "kmodel_v3", "v831": "awnn_int8"}
"""Board type -> `model_format` of its port in device/ports."""


def board_type_of(model_format: str) -> str:
    """The type of board that loads files of this format; "" = none."""
    return next((kind for kind, loads in BOARD_FORMATS.items() if loads == model_format), "")


def goes_to_boards(board_type: str, model_format: str) -> bool:
    """Whether a file of that format can be released to boards of that type."""
    return BOARD_FORMATS.get(board_type) == model_format
