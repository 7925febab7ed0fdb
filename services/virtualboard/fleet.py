"""Any number of virtual boards on one computer, served by one peripherals server."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from services.virtualboard.board import DEVICE, VirtualBoard
from services.virtualboard.chips import Chips
from services.virtualboard.hardware import Profile
from services.virtualboard.peripherals import Peripherals

__all__ = ["VirtualBoards"]


class VirtualBoards:
    """A context manager: the server runs inside it, and the boards are switched off at its end.

    >>> with VirtualBoards(folder) as boards:
    ...     board = boards.add("solar-1")
    ...     board.look_at(qr_picture(code))
    ...     board.start()
    ...     board.wait_shown("functional")
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.boards: list[VirtualBoard] = []
        self._peripherals = Peripherals()
        self._chips = Chips()

    def start(self) -> None:
        self._peripherals.start()

    def stop(self) -> None:
        for board in self.boards:
            board.stop()
        self._peripherals.stop()

    def add(
        self, name: str, profile: Profile | None = None, *, cable: bool = False, program: Path = DEVICE / "main.py"
    ) -> VirtualBoard:
        """A board in `<folder>/<name>`, switched off. `cable`: its network can be pulled. `program`: what it runs."""
        board = VirtualBoard(
            name, self.folder / name, self._peripherals, self._chips, profile, cable=cable, program=program
        )
        self.boards.append(board)
        return board

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
