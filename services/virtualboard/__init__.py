"""Virtual boards: the device code in a real MicroPython, with the hardware done on the host (`device/ports/sim.py`)."""

from services.virtualboard.board import VirtualBoard
from services.virtualboard.camera import frame_id, network_input, qr_picture
from services.virtualboard.fleet import VirtualBoards
from services.virtualboard.hardware import PressKind, Profile
from services.virtualboard.run import run_boards

__all__ = [
    "PressKind",
    "Profile",
    "VirtualBoard",
    "VirtualBoards",
    "frame_id",
    "network_input",
    "qr_picture",
    "run_boards",
]
