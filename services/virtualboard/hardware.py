"""The hardware of one virtual board as its process sees it: camera, KPU, keys, display, chip number, free storage.

The methods named `do_…` answer the requests of `device/ports/sim.py`, on a worker thread, one at a time per board.
The rest is for the person or test that holds the board. `changed` is notified whenever something happens.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from services.common.errors import BoardloopError
from services.trainer.convert import Simulator
from services.trainer.imaging import open_rgb
from services.virtualboard import camera
from services.virtualboard.chips import Chips, run
from services.virtualboard.wire import Fields

__all__ = ["Answer", "Hardware", "Press", "PressKind", "Profile"]

PressKind = Literal["short", "long", "hold"]
Answer = tuple[Fields, bytes]
FRAMES_KEPT = 4  # the board's program holds one frame, or one golden frame after another


@dataclass(frozen=True)
class Profile:
    """What kind of board this is.

    `chunk`, `block`: bytes per CAPTURE and per PULL. `half_duplex`: the link forgets what has come in when the board
    sends, as an ESP8285 does. `wifi`: the only network there is (name, password); None: any.
    """

    board_type: str = "k210"
    model_format: str = "kmodel_v3"
    firmware: str = "virtual board 1"
    chunk: int = 4096
    block: int = 8192
    half_duplex: bool = False
    wifi: tuple[str, str] | None = None
    camera_works: bool = True


@dataclass(frozen=True)
class Press:
    number: int
    kind: PressKind


class Hardware:
    def __init__(self, chip_id: bytes, storage: Path, profile: Profile, chips: Chips) -> None:
        self.changed = threading.Condition()
        self.profile = profile
        self.storage = storage
        self.presses: list[Press] = []  # not yet taken by the board's program
        self.shown: list[str] = []
        self.on_text: Callable[[str], None] = lambda text: None  # called on a worker thread
        self.shown_before_press = 0  # texts that stood on the display when the last press was taken
        self.looks = 0  # pictures the program took of what is before the camera: captures and frames
        self.looks_before_press = 0
        self.free_bytes: int | None = None  # None: what the file system has
        self._pressed = 0
        self._scans = 0
        self._picture = camera.lens_cap()
        self._chip_id = chip_id
        self._chips = chips
        self._model: Simulator | None = None
        self._frames: OrderedDict[int, npt.NDArray[np.uint8]] = OrderedDict()
        self._frame_number = 0

    def press(self, kind: PressKind) -> Press:
        with self.changed:
            self._pressed += 1
            press = Press(self._pressed, kind)
            self.presses.append(press)
            return press

    def look_at(self, picture: bytes) -> None:
        open_rgb(picture)  # refuses a broken picture here and not on the board
        with self.changed:
            self._picture = picture

    def power_on(self) -> None:
        """What RAM held is gone."""
        self._model = None
        self._frames.clear()

    def answer(self, request: Fields, blob: bytes) -> Answer | None:
        """The answer to one request; errors as the port raises them. None where the port expects no answer."""
        handler: Callable[[Fields, bytes], Answer | None] | None = getattr(self, f"do_{request.get('do')}", None)
        if handler is None:
            return {"error": "ValueError", "text": f"no such request: {request.get('do')}"}, b""
        try:
            return handler(request, blob)
        except MemoryError as error:
            return {"error": "MemoryError", "text": str(error)}, b""
        except (BoardloopError, ValueError, KeyError, TypeError) as error:
            return {"error": "ValueError", "text": str(error)}, b""
        except OSError as error:
            return {"error": "OSError", "text": str(error)}, b""
        finally:
            with self.changed:
                self.changed.notify_all()

    # ---- camera and KPU

    def do_capture(self, request: Fields, blob: bytes) -> Answer:
        self._need_camera()
        picture = self._look()
        side = camera.CAPTURE_SIDE
        return {"width": side, "height": side}, camera.capture(picture, side, side)

    def do_frame(self, request: Fields, blob: bytes) -> Answer:
        self._need_camera()
        return self._keep(camera.network_input(self._look(), request["width"], request["height"]))

    def do_golden_frame(self, request: Fields, blob: bytes) -> Answer:
        shape = (3, request["height"], request["width"])
        return self._keep(np.frombuffer(blob, dtype=np.uint8).reshape(shape))

    def do_scan_qr(self, request: Fields, blob: bytes) -> Answer:
        self._need_camera()
        self._scans += 1
        return {"text": camera.scan(self._picture, self._scans)}, b""

    def do_load_model(self, request: Fields, blob: bytes) -> Answer:
        self._model = None
        self._model = self._chips.load(Path(request["path"]))
        return {}, b""

    def do_unload_model(self, request: Fields, blob: bytes) -> Answer:
        self._model = None
        return {}, b""

    def do_infer(self, request: Fields, blob: bytes) -> Answer:
        if self._model is None:
            raise OSError("no model is loaded")
        return {"outputs": run(self._model, self._frames[request["number"]])}, b""

    # ---- keys, display, link, storage

    def do_pressed(self, request: Fields, blob: bytes) -> None:
        with self.changed:
            self.presses = [press for press in self.presses if press.number > request["number"]]
            self.shown_before_press = len(self.shown)
            self.looks_before_press = self.looks

    def do_show(self, request: Fields, blob: bytes) -> None:
        with self.changed:
            self.shown.append(str(request["text"]))
        self.on_text(str(request["text"]))

    def do_wifi(self, request: Fields, blob: bytes) -> Answer:
        if self.profile.wifi not in (None, (request["ssid"], request["password"])):
            raise OSError(f"no network {request['ssid']!r}, or another password")
        return {}, b""

    def do_unique_id(self, request: Fields, blob: bytes) -> Answer:
        return {}, self._chip_id

    def do_free(self, request: Fields, blob: bytes) -> Answer:
        free = shutil.disk_usage(self.storage).free if self.free_bytes is None else self.free_bytes
        return {"bytes": free}, b""

    # ----

    def _need_camera(self) -> None:
        if not self.profile.camera_works:
            raise OSError("the camera does not answer")

    def _look(self) -> bytes:
        with self.changed:
            self.looks += 1
            return self._picture

    def _keep(self, pixels: npt.NDArray[np.uint8]) -> Answer:
        self._frame_number += 1
        self._frames[self._frame_number] = pixels
        while len(self._frames) > FRAMES_KEPT:
            self._frames.popitem(last=False)
        return {"number": self._frame_number, "id": camera.frame_id(pixels)}, b""
