"""Virtual boards at the command line: a folder of pictures before their cameras, the keyboard for their keys."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from services.common.errors import InvalidInput
from services.virtualboard.board import VirtualBoard
from services.virtualboard.camera import qr_picture
from services.virtualboard.fleet import VirtualBoards
from services.virtualboard.hardware import PressKind

__all__ = ["HELP", "run_boards"]

PICTURES = (".jpg", ".jpeg", ".png")
KEYS: dict[str, PressKind] = {"": "short", "s": "short", "l": "long", "h": "hold"}
HELP = "Enter: press shortly. l: long press. h: hold. A number: that board. n: the next picture. q: quit."
Outcome = Literal["go on", "quit"]


def run_boards(
    folder: Path,
    pictures: Path,
    *,
    count: int = 1,
    pairing: Sequence[str] = (),
    every: float = 0,
    commands: Iterable[str] | None = None,
    out: Callable[[str], None] = print,
) -> None:
    """Runs `count` boards, kept in `folder`, until `commands` end (None: the keyboard), `q` or Ctrl-C.

    `pictures`: a folder of JPEG and PNG, shown one after the other. `pairing`: one code for each board not paired yet,
    as text or as the path of its picture. `every`: seconds between presses made by themselves; 0: none.
    InvalidInput when there are no pictures or too few codes; DeadlineExceeded when a board does not get paired.
    """
    shots = read_pictures(pictures)
    with VirtualBoards(folder) as fleet:
        boards = [fleet.add(f"board-{number + 1}") for number in range(count)]
        codes = iter(needed_codes(boards, pairing))
        for board in boards:
            board.on_text(lambda text, name=board.name: out(f"{name}: {text}"))  # type: ignore[misc]
            board.look_at(shots[0] if board.paired else qr_of(next(codes)))
            board.start()
        for board in boards:
            board.wait_paired()
            board.look_at(shots[0])
        out(HELP)
        console = Console(boards, shots, out)
        ended = threading.Event()
        if every:
            threading.Thread(target=press_by_itself, args=(boards, every, ended), daemon=True).start()
        try:
            for line in keyboard() if commands is None else commands:
                if console.do(line.strip().lower()) == "quit":
                    break
        except KeyboardInterrupt:
            pass
        finally:
            ended.set()


class Console:
    """What each typed line does; one board is in the hand."""

    def __init__(self, boards: list[VirtualBoard], shots: list[Path], out: Callable[[str], None]) -> None:
        self.boards = boards
        self.board = boards[0]
        self.shots = itertools.cycle(shots[1:] + shots[:1])
        self.out = out

    def do(self, line: str) -> Outcome:
        if line == "q":
            return "quit"
        if line == "n":
            shot = next(self.shots)
            self.board.look_at(shot)
            self.out(f"{self.board.name} sees {shot.name}")
        elif line.isdigit() and 1 <= int(line) <= len(self.boards):
            self.board = self.boards[int(line) - 1]
        elif line in KEYS:
            self.board.press(KEYS[line])
        else:
            self.out(HELP)
        return "go on"


def keyboard() -> Iterator[str]:
    """Typed lines. When there is no keyboard any more it waits for ever: the boards run on until Ctrl-C."""
    yield from sys.stdin
    threading.Event().wait()


def press_by_itself(boards: list[VirtualBoard], every: float, ended: threading.Event) -> None:
    while not ended.wait(every):
        for board in boards:
            board.press()


def read_pictures(folder: Path) -> list[Path]:
    """The pictures in `folder` and below, by name."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not found:
        raise InvalidInput("NO_PICTURES", f"{folder} has no JPEG or PNG picture.", fix="Name a folder that has some.")
    return found


def needed_codes(boards: list[VirtualBoard], pairing: Sequence[str]) -> Sequence[str]:
    new = [board.name for board in boards if not board.paired]
    if len(pairing) < len(new):
        raise InvalidInput(
            "CODES_MISSING",
            f"{len(new)} boards are not paired yet ({', '.join(new[:3])}, …) and {len(pairing)} codes were given.",
            fix="Make one pairing code for each on the page Boards.",
        )
    return pairing


def qr_of(code: str) -> bytes:
    """The picture to hold before a camera: of a code given as text, or the file."""
    return qr_picture(code) if code.startswith(("BL1:", "WIFI:", "{")) else Path(code).read_bytes()
