"""An exponential moving average of a network's weights: steadier than the weights of any single step.

    average ← average + (1 - d) * (weights - average)      d = min(decay, (1 + steps) / (10 + steps))

Short at the start, so that the starting weights are soon forgotten (as TensorFlow's ExponentialMovingAverage has it).
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from services.trainer.networks import Network

__all__ = ["Average"]


class Average:
    """Follows `model`; `.model` is the averaged network, statistics of batch normalisation included.

    A decay of 0 averages nothing: `.model` is then `model` itself.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self.model = copy.deepcopy(model) if decay else model
        for parameter in self.model.parameters() if decay else ():
            parameter.requires_grad_(False)
        pairs = zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        self._pairs = [(mean, value) for mean, value in pairs if mean.is_floating_point()] if decay else []

    def update(self) -> None:
        """After every step of the optimiser."""
        if not self._pairs:
            return
        self._steps += 1
        kept = min(self._decay, (1 + self._steps) / (10 + self._steps))
        means, values = zip(*self._pairs, strict=True)
        torch._foreach_lerp_(means, values, 1 - kept)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; `load_state_dict` takes it."""
        return {"steps": self._steps, "model": self.model.state_dict()} if self._pairs else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._pairs:
            self._steps = state["steps"]
            self.model.load_state_dict(state["model"])
