"""Answers for one picture, by the float network or by the simulator of a converted file."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.convert import simulator
from services.trainer.detection import Detection, DetectorMap
from services.trainer.detection_evaluation import SHOWN
from services.trainer.evaluate import softmax
from services.trainer.imaging import to_input, to_png
from services.trainer.registry import Registry

__all__ = ["Answer", "Predictor"]

Logits = npt.NDArray[np.float32]
Network = Callable[[npt.NDArray[np.uint8]], Logits]

_LOADED_AT_ONCE = 4  # some 5 to 20 MB each


@dataclass(frozen=True)
class Answer:
    """Of a classifier logits and their softmax, of a detector objects, surest first.

    `seconds`: of the loaded network or simulator alone. `input_png`: what it was given, where that was asked for.
    """

    logits: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    objects: list[Detection] = field(default_factory=list)
    seconds: float = 0.0
    input_png: bytes = b""


class Predictor:
    """Keeps the last few models loaded; calls take turns, as each uses all cores."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._loaded: OrderedDict[tuple[str, str, str], Network] = OrderedDict()
        self._lock = threading.Lock()

    def predict(
        self, model_id: str, target: str, picture: bytes, confidence: float = SHOWN, show_input: bool = False
    ) -> Answer:
        """Of a JPEG or PNG; `target` "" = the float network, `confidence`: a detector's objects are surer than it.

        NotFound: no such model or file. InvalidInput: no whole picture.
        """
        model = self._registry.get(model_id)
        pixels = to_input(picture, model.input_size, model.input_height)
        digest = self._registry.file(model_id, target).sha256 if target else str(model.created_at)
        with self._lock:
            network = self._network(model_id, target, digest)
            begun = time.perf_counter()
            outputs = network(pixels[None])
            seconds = time.perf_counter() - begun
        png = to_png(pixels) if show_input else b""
        if model.task == "classification":
            return Answer(outputs[0].tolist(), softmax(outputs)[0].tolist(), seconds=seconds, input_png=png)
        told = DetectorMap(model.head, len(model.labels), [(w, h) for w, h in model.anchors])
        cells = told.grid(outputs.shape[1], model.input_size, model.input_height)
        return Answer(objects=told.found(outputs, cells, confidence)[0], seconds=seconds, input_png=png)

    def _network(self, model_id: str, target: str, digest: str) -> Network:
        """A model that was converted or trained again has another digest and is loaded anew."""
        key = (model_id, target, digest)
        if key not in self._loaded:
            data = self._registry.read(model_id, target)
            self._loaded[key] = simulator(target, data).run if target else _float_network(data)
        self._loaded.move_to_end(key)
        while len(self._loaded) > _LOADED_AT_ONCE:
            self._loaded.popitem(last=False)
        return self._loaded[key]


def _float_network(checkpoint: bytes) -> Network:
    from services.trainer.loop import load_checkpoint, predict  # torch: two seconds, only when it is needed

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        path.write_bytes(checkpoint)
        model: Any = load_checkpoint(path).model
    return lambda pixels: predict(model, pixels)
