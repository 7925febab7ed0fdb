"""Where a training starts: random weights, ImageNet's, or a trained model whose labels may have changed.

TrainingConfig.weights   ""                 random
                         a TF-slim graph    the backbone (services.trainer.weights)
                         a checkpoint, .pt  the backbone, and the head's row of every label that both have
"""

from __future__ import annotations

from pathlib import Path

import torch

from services.common.errors import InvalidInput
from services.trainer.backbones.blocks import ConvNormActivation
from services.trainer.checkpoints import load_checkpoint
from services.trainer.config import TrainingConfig
from services.trainer.model import Classifier
from services.trainer.weights import load_file

__all__ = ["CHECKPOINT", "Frozen", "start"]

CHECKPOINT = ".pt"


class Frozen:
    """The first `share` of a backbone's convolutions, held at what they are, batch statistics included."""

    def __init__(self, model: Classifier, share: float) -> None:
        layers = [module for module in model.backbone.modules() if isinstance(module, ConvNormActivation)]
        self.layers = layers[: round(share * len(layers))]
        for layer in self.layers:
            layer.requires_grad_(False)

    def hold(self) -> None:
        """After every `model.train()`."""
        for layer in self.layers:
            layer.eval()


def start(model: Classifier, config: TrainingConfig, labels: tuple[str, ...]) -> str:
    """Bring the model to its starting weights; returns in words where that is.

    InvalidInput: a weights file that is none, or of another network.
    """
    path = Path(config.weights)
    if not config.weights:
        return "from scratch"
    if path.suffix != CHECKPOINT:
        model.load_pretrained(load_file(path))
        return f"from {path.name}"
    return _go_on(model, config, labels, path)


def _go_on(model: Classifier, config: TrainingConfig, labels: tuple[str, ...], path: Path) -> str:
    trained = load_checkpoint(path)
    if trained.config.backbone != config.backbone:
        raise InvalidInput(
            "WEIGHTS_OF_ANOTHER_NETWORK",
            f"The model to go on from is a {trained.config.backbone}, the backbone is {config.backbone}.",
            fix=f"Choose the backbone {trained.config.backbone}.",
        )
    model.backbone.load_state_dict(trained.model.backbone.state_dict())
    known = [label for label in labels if label in trained.labels]
    to, of = [labels.index(label) for label in known], [trained.labels.index(label) for label in known]
    with torch.no_grad():
        model.head.linear.weight[to] = trained.model.head.linear.weight[of]
        model.head.linear.bias[to] = trained.model.head.linear.bias[of]
    new = [label for label in labels if label not in trained.labels]
    gone = [label for label in trained.labels if label not in labels]
    changes = [f"{word} {', '.join(some)}" for word, some in (("new:", new), ("left out:", gone)) if some]
    return "from a trained model" + (f" ({'; '.join(changes)})" if changes else "")
