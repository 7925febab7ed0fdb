"""What answers in an evaluation: a float checkpoint, or a converted file in its chip's simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import UnsupportedModel
from services.trainer.convert import simulator
from services.trainer.evaluation.request import Request

__all__ = ["Network", "open_network"]

Outputs = npt.NDArray[np.float32]
Network = Callable[[npt.NDArray[np.uint8]], Outputs]


def open_network(path: Path, request: Request) -> Network:
    """uint8 (n, 3, height, width) to outputs (n, values): logits, or a detector's last map.

    InvalidInput, UnsupportedModel: the file is none of the request's kind. The network raises UnsupportedModel when it
    answers with NaN or infinity.
    """
    answer = simulator(request.target, path.read_bytes()).run if request.target else _float_network(path)

    def finite(images: npt.NDArray[np.uint8]) -> Outputs:
        outputs = answer(images)
        if not np.isfinite(outputs).all():
            raise UnsupportedModel(
                "OUTPUT_NOT_FINITE",
                "The model answers with NaN or infinity.",
                fix="Train again with a lower learning rate, or evaluate another target.",
            )
        return outputs.reshape(len(images), -1)

    return finite


def _float_network(path: Path) -> Network:
    from services.trainer.loop import load_checkpoint, predict  # torch: only where it is needed

    model = load_checkpoint(path).model
    return lambda images: predict(model, images)
