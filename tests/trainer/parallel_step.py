"""One step of a training in 64 bits, as one of the processes that the environment names."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from services.trainer.config import TrainingConfig
from services.trainer.estimate import ANCHORS
from services.trainer.heads.yolo2_loss import Targets
from services.trainer.networks import Network, build
from services.trainer.parallel import join
from services.trainer.tasks.detection import LOSSES
from tests.trainer.detection.drawn import LABELS, drawn_scenes

PICTURES = 7


def main(out: Path, head: str) -> None:
    """Loss, gradients and batch statistics go to a file of `out`."""
    torch.set_num_threads(1)
    workers = join(torch.device("cpu"))
    torch.manual_seed(0)
    config = TrainingConfig.model_validate({"backbone": "mobilenet_v1_0.25", "dropout": 0.3, "head": head})
    model = build(config, len(LABELS), ANCHORS).double().train()
    workers.prepare(model)
    loss = loss_of(workers.shared(model), head)
    loss.backward()
    workers.sum_gradients(model)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    statistics = {name: value for name, value in model.named_buffers() if value.is_floating_point()}
    torch.save({"loss": loss.detach(), **gradients, **statistics}, out / f"{workers.size}-{workers.rank}.pt")


def loss_of(network: Network, head: str) -> torch.Tensor:
    """Of scenes with zero to two objects; the first picture, of the first share, has none."""
    images, truths = drawn_scenes(PICTURES, 96, seed=1)
    output = network(torch.from_numpy(images).double() / 255)
    if head == "classifier":
        return F.cross_entropy(output, torch.arange(PICTURES) % len(LABELS))
    return LOSSES[head](output, Targets.of([[], *truths[1:]]), network).total


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
