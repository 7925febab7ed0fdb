"""How much RAM a loaded model takes on each firmware for the K210, and how much there is.

    file (malloc'ed whole) + 256 bytes to align it (MaixPy) + main memory of the CPU layers

Nobody has measured these budgets with our files. They come from what others report of free heap: MaixPy-v1 issue 422
(2,052 KB on a small build), aXeleRate issue 63 (a kmodel V4 of 1,871 KB does not load even on the minimum build that
knows V4); a full build keeps 700 KiB for JPEG and QR codes and two frames beside the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.contract import BoardMemory, ConvertOptions

__all__ = ["FIRMWARE", "WARN_BYTES", "board_memory", "check_size", "roomiest"]

WARN_BYTES = 1 << 20
MAIXPY_ALIGNMENT = 256


@dataclass(frozen=True)
class Firmware:
    alignment: int
    budget: int


FIRMWARE = {
    "MaixPy-v1 full": Firmware(MAIXPY_ALIGNMENT, 1 << 20),
    "MaixPy-v1 minimum": Firmware(MAIXPY_ALIGNMENT, int(1.8 * (1 << 20))),
    # The runtime of kmodel V4 takes about 330 KB more than the minimum build without it.
    "MaixPy-v1 minimum with kmodel V4": Firmware(MAIXPY_ALIGNMENT, int(1.8 * (1 << 20)) - 330_000),
    "CanMV": Firmware(0, 1 << 20),  # no report of free heap: a larger MicroPython heap than full MaixPy, V3 and V4
}


def board_memory(file_size: int, main_memory: int) -> tuple[BoardMemory, ...]:
    """Bytes and budget on every firmware."""
    return tuple(
        BoardMemory(name, file_size + main_memory + firmware.alignment, firmware.budget)
        for name, firmware in FIRMWARE.items()
    )


def roomiest(file_size: int, main_memory: int, firmware: str = "") -> BoardMemory:
    """The memory on `firmware`, or on the firmware with the largest budget."""
    boards = [board for board in board_memory(file_size, main_memory) if firmware in ("", board.firmware)]
    return max(boards, key=lambda board: board.budget)


def check_size(file_size: int, main_memory: int, options: ConvertOptions) -> None:
    """Raises UnsupportedModel when file and main memory do not fit the RAM of the firmware in `options`, or of the most
    generous one if none is named. InvalidInput: no such firmware."""
    if options.firmware and options.firmware not in FIRMWARE:
        raise InvalidInput(
            "UNKNOWN_FIRMWARE",
            f"there is no firmware {options.firmware!r} for the K210.",
            fix=f"Choose one of: {', '.join(FIRMWARE)}; or none.",
        )
    board = roomiest(file_size, main_memory, options.firmware)
    if not board.fits and not options.allow_oversize:
        raise UnsupportedModel(
            "MODEL_TOO_LARGE",
            f"the model takes {board.bytes} bytes of RAM on the board (file {file_size}, main memory "
            f"{main_memory}); {board.firmware} has about {board.budget}.",
            fix="Use a narrower network (MobileNetV1 alpha 0.5), or allow the size explicitly.",
        )
