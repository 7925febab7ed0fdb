"""The KPU of the virtual boards: the host simulator of the chip runs the very file that lies in the board's storage."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.trainer.convert import Simulator, simulator

__all__ = ["Chips", "run"]

TARGET = "k210-kmodel-v3"
KEPT = 4  # parsed models; a fleet has the running one and the one on trial


class Chips:
    """Parsed models by the hash of their file: a fleet of 500 boards with one model parses it once."""

    def __init__(self) -> None:
        self._models: OrderedDict[bytes, Simulator] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, path: Path) -> Simulator:
        """OSError when the file cannot be read, BoardloopError when the chip would refuse it."""
        data = path.read_bytes()
        name = hashlib.sha256(data).digest()
        with self._lock:
            if name not in self._models:
                self._models[name] = simulator(TARGET, data)
            self._models.move_to_end(name)
            while len(self._models) > KEPT:
                self._models.popitem(last=False)
            return self._models[name]


def run(model: Simulator, pixels: npt.NDArray[np.uint8]) -> list[float]:
    """All outputs of the model for one network input uint8 (3, height, width), one behind the other."""
    return [float(value) for value in model.run(pixels[np.newaxis])[0]]
