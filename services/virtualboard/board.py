"""One virtual board: a MicroPython process that runs `device/main.py`, and the person who holds the board."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from services.common.errors import DeadlineExceeded, FailedPrecondition
from services.virtualboard.chips import Chips
from services.virtualboard.hardware import Hardware, PressKind, Profile
from services.virtualboard.peripherals import Peripherals

T = TypeVar("T")
__all__ = ["DEVICE", "VirtualBoard"]

DEVICE = Path(__file__).resolve().parents[2] / "device"
IDENTITY = "boardloop.json"  # of device/boardloop/identity.py
HEAP = "512K"  # MaixPy's GC heap (projects/*/config_defaults.mk)
CHIP_ID_BYTES = 32  # machine.unique_id() of MaixPy
STOP_SECONDS = 5.0
LOG_TAIL = 25  # lines in an error
TEXTS_TAIL = 8


class VirtualBoard:
    """`folder` keeps what a real board keeps without power: `storage/` (the card), `chip.id`; and its `log.txt`.

    It lasts over many VirtualBoards: a second one on it is the same board, switched on again.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        peripherals: Peripherals,
        chips: Chips,
        profile: Profile | None = None,
        *,
        cable: bool = False,
        program: Path = DEVICE / "main.py",
    ) -> None:
        self.name = name
        self.folder = folder
        self.storage = folder / "storage"
        self.storage.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._peripherals = peripherals
        self._token = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None
        self._resetting = False
        self._lock = threading.RLock()
        self._hardware = Hardware(chip_id(folder), self.storage, profile or Profile(), chips)
        self._station = peripherals.add(self._token, self._hardware, self._reset, cable=cable)

    # ---- power

    def start(self) -> None:
        """Power on. FailedPrecondition when it is on already."""
        with self._lock:
            if self.running:
                raise FailedPrecondition("BOARD_RUNNING", f"{self.name} is on already.", fix="Use restart().")
            environment = dict(
                os.environ,
                MICROPYPATH=str(DEVICE),
                BOARDLOOP_PORT="sim",
                BOARDLOOP_PERIPHERALS=f"127.0.0.1:{self._peripherals.port}",
                BOARDLOOP_TOKEN=self._token,
                BOARDLOOP_ROOT=str(self.storage),
            )
            command = [sys.executable, "-I", "-m", "micropython_unix", "-X", f"heapsize={HEAP}", str(self._program)]
            with (self.folder / "log.txt").open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.storage,
                    start_new_session=True,
                )

    def stop(self) -> None:
        """Power off, politely; killed when it does not end in time."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """Power off in the middle of whatever it does (SIGKILL)."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """Power off without warning, and on again."""
        with self._lock:
            self.kill()
            self.start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # ---- the person at the board

    def look_at(self, picture: bytes | Path) -> None:
        """Holds a JPEG or PNG before the camera. InvalidInput when it is broken."""
        self._hardware.look_at(picture.read_bytes() if isinstance(picture, Path) else picture)

    def press(self, kind: PressKind = "short", *, wait: float = 0) -> None:
        """Presses the key; the press is kept until the board's program takes it, over restarts too.

        `wait`: seconds to wait until it was taken; DeadlineExceeded when it was not.
        """
        self._peripherals.press(self._station, kind)
        if wait:
            self._wait(lambda: not self._hardware.presses, wait, f"the {kind} press to be taken")

    def snap(self, picture: bytes | Path, *, timeout: float = 30) -> None:
        """Holds `picture` before the camera, presses shortly, and waits until the camera has taken it.

        After it another picture can be held there: the press cannot get that one any more.
        """
        self.look_at(picture)
        self.press()
        hardware = self._hardware
        self._wait(
            lambda: not hardware.presses and hardware.looks > hardware.looks_before_press,
            timeout,
            "a picture to be taken",
        )

    @property
    def shown(self) -> str:
        """The text on the display; "" before the first."""
        texts = self._hardware.shown
        return texts[-1] if texts else ""

    @property
    def texts(self) -> list[str]:
        """Every text that was on the display, oldest first."""
        return list(self._hardware.shown)

    def wait_shown(self, what: str | Callable[[str], bool], timeout: float = 20) -> str:
        """The first text since the last press (since the start, without one) that contains `what` or makes it true.

        A press not taken by the program yet is waited for. DeadlineExceeded tells the last texts and the log's end.
        """
        fits = (lambda text: what in text) if isinstance(what, str) else what

        def found() -> str | None:
            if self._hardware.presses:
                return None
            return next(
                (text for text in self._hardware.shown[self._hardware.shown_before_press :] if fits(text)), None
            )

        return self._wait(found, timeout, f"the display to show {what!r}" if isinstance(what, str) else "a text")

    def on_text(self, call: Callable[[str], None]) -> None:
        """`call` gets every text that the display shows from now on, on another thread."""
        self._hardware.on_text = call

    @property
    def paired(self) -> bool:
        """Its storage holds the identity that a finished pairing leaves (docs/protocol.md, section 6)."""
        try:
            return bool(json.loads((self.storage / IDENTITY).read_bytes())["paired"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def wait_paired(self, timeout: float = 30) -> None:
        """DeadlineExceeded when it has not finished its pairing by then."""
        self._wait(lambda: self.paired, timeout, "its pairing")

    @property
    def looks(self) -> int:
        """Pictures its program has taken of what is before the camera: captures and frames."""
        return self._hardware.looks

    @property
    def log(self) -> list[str]:
        """What the process printed, over all its starts."""
        path = self.folder / "log.txt"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    @property
    def hardware_id(self) -> bytes:
        """The chip's unique id, 32 bytes."""
        return chip_id(self.folder)

    def set_free(self, count: int | None) -> None:
        """The free bytes that its storage reports from now on; None: those of the real file system."""
        self._hardware.free_bytes = count

    # ---- the network cable

    def unplug(self, *, after: int = 0) -> None:
        """Cuts the network now, or once `after` more bytes have gone up: amid a frame. Needs `cable=True`."""
        self._peripherals.unplug(self._station, after)

    def plug(self) -> None:
        """The network is back."""
        self._peripherals.plug(self._station)

    @property
    def plugged(self) -> bool:
        """False from the moment the cable was cut."""
        return self._station.cable is None or self._station.cable.plugged

    # ----

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        how(process)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _gone(self) -> bool:
        """Its process ended by itself and all that it said has been read."""
        ended = self._process is not None and self._process.poll() is not None
        return ended and not self._resetting and self._station.writer is None

    def _reset(self) -> None:
        self._resetting = True
        threading.Thread(target=self._reset_now, name=f"reset {self.name}", daemon=True).start()

    def _reset_now(self) -> None:
        with self._lock:
            if self._process is not None:  # else somebody switched it off meanwhile
                self.stop()
                self.start()
            self._resetting = False

    def _wait(self, found: Callable[[], T | None], timeout: float, what: str) -> T:
        """The first true value of `found`, asked again whenever the hardware changes and twice a second."""
        deadline = time.monotonic() + timeout
        with self._hardware.changed:
            while not (value := found()):
                left = deadline - time.monotonic()
                if left <= 0 or self._gone:
                    raise self._late(what, timeout)
                self._hardware.changed.wait(min(left, 0.5))
            return value

    def _late(self, what: str, timeout: float) -> DeadlineExceeded:
        ended = "" if self.running else " Its process is not running."
        texts = "\n  ".join(self._hardware.shown[-TEXTS_TAIL:]) or "(nothing)"
        log = "\n  ".join(self.log[-LOG_TAIL:]) or "(nothing)"
        return DeadlineExceeded(
            "BOARD_SILENT",
            f"{self.name}: waited {timeout:g} s for {what}.{ended}\n"
            f"Its display showed:\n  {texts}\nIts log ends:\n  {log}\n",
            fix=f"Read {self.folder / 'log.txt'}.",
        )


def chip_id(folder: Path) -> bytes:
    """The unique id that the board in `folder` was made with; made at the first call."""
    path = folder / "chip.id"
    if not path.exists():
        path.write_bytes(secrets.token_bytes(CHIP_ID_BYTES))
    return path.read_bytes()
