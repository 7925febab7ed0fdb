"""Where a training starts: random weights, ImageNet's, or a trained model whose labels may have changed.

TrainingConfig.weights   ""                 random
                         ImageNet weights   the backbone (services.trainer.model.load_imagenet)
                         a checkpoint, .pt  the backbone, and the head's row of every label that both have; of a
                                            detector also the neck and the anchors; of another head the backbone
                                            alone, as far as both are alike
"""

from __future__ import annotations

from pathlib import Path

import torch

from services.common.errors import InvalidInput
from services.trainer.backbones.blocks import ConvNormActivation
from services.trainer.checkpoints import load_checkpoint
from services.trainer.config import TrainingConfig
from services.trainer.detector import Detector
from services.trainer.model import load_imagenet
from services.trainer.networks import Network

__all__ = ["CHECKPOINT", "Frozen", "start"]

CHECKPOINT = ".pt"


class Frozen:
    """The first `share` of a backbone's convolutions, held at what they are, batch statistics included."""

    def __init__(self, model: Network, share: float) -> None:
        layers = [module for module in model.backbone.modules() if isinstance(module, ConvNormActivation)]
        self.layers = layers[: round(share * len(layers))]
        for layer in self.layers:
            layer.requires_grad_(False)

    def hold(self) -> None:
        """After every `model.train()`."""
        for layer in self.layers:
            layer.eval()


def start(model: Network, config: TrainingConfig, labels: tuple[str, ...]) -> str:
    """Bring the model to its starting weights; returns in words where that is.

    InvalidInput: a weights file that is none, or of another network.
    """
    path = Path(config.weights)
    if not config.weights:
        return "from scratch"
    if path.suffix != CHECKPOINT:
        load_imagenet(model.backbone, path)
        return f"from {path.name}"
    return _go_on(model, config, labels, path)


def _go_on(model: Network, config: TrainingConfig, labels: tuple[str, ...], path: Path) -> str:
    trained = load_checkpoint(path)
    if trained.config.backbone != config.backbone:
        raise InvalidInput(
            "WEIGHTS_OF_ANOTHER_NETWORK",
            f"The model to go on from is a {trained.config.backbone}, the backbone is {config.backbone}.",
            fix=f"Choose the backbone {trained.config.backbone}.",
        )
    alike = trained.config.head == config.head  # an anchor-free network may be shorter: what both have goes over
    model.backbone.load_state_dict(trained.model.backbone.state_dict(), strict=alike)
    if not alike:
        return f"from the features of a trained {trained.config.head}"
    rows = [(labels.index(label), trained.labels.index(label)) for label in labels if label in trained.labels]
    model.head.take(trained.model.head, rows)  # type: ignore[arg-type]
    if isinstance(model, Detector) and isinstance(trained.model, Detector):
        before = trained.config  # anchors are in cells: a larger picture has more
        cells = torch.tensor((config.input_size / before.input_size, config.height / before.height))
        model.anchors.copy_(trained.model.anchors * cells)
    new = [label for label in labels if label not in trained.labels]
    gone = [label for label in trained.labels if label not in labels]
    changes = [f"{word} {', '.join(some)}" for word, some in (("new:", new), ("left out:", gone)) if some]
    return "from a trained model" + (f" ({'; '.join(changes)})" if changes else "")
