"""How long a training will take: by an earlier job of the same network, else by a few steps just now.

An estimate in both cases: decoding, changing the pictures and the validation are in an earlier job's figure only, and
another training at the same time halves it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import cast

from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer.config import Backbone, TrainingConfig
from services.trainer.estimate import ANCHORS
from services.trainer.models import Job

__all__ = ["Speed", "speed"]

STEPS, BATCH, CLASSES = 2, 16, 2
_ALIKE = ("backbone", "head", "input_size", "input_height", "batch_size", "workers")


@dataclass(frozen=True)
class Speed:
    images_per_second: float
    in_job: bool  # measured in an earlier job


def speed(parameters: pb.TrainingParameters, jobs: list[Job]) -> Speed:
    """`jobs`: newest first. A measurement takes about as long as three steps of 16 pictures."""
    for job in jobs:
        alike = all(job.parameters.get(name, 0) == getattr(parameters, name) for name in _ALIKE)
        rates = [epoch.images_per_second for epoch in job.epochs if epoch.images_per_second > 0]
        if alike and rates:
            return Speed(float(median(rates)), True)
    width, height = parameters.input_size, parameters.input_height or parameters.input_size
    return Speed(_measured(cast(Backbone, parameters.backbone), parameters.head, width, height), False)


@lru_cache(maxsize=64)
def _measured(backbone: Backbone, head: str, width: int, height: int) -> float:
    import torch

    from services.trainer.device import autocast, choose_device
    from services.trainer.networks import build
    from services.trainer.shares import in_shares

    device = choose_device()
    config = TrainingConfig.model_validate({"backbone": backbone, "head": head})
    model = build(config, CLASSES, ANCHORS).to(device)
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    model = in_shares(model)
    images = torch.rand(BATCH, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
    began = 0.0
    for step in range(STEPS + 1):
        if step == 1:  # the first one also sets everything up
            began = time.perf_counter()
        with autocast(device):
            answers = model(images)
        loss = answers.float().square().mean()  # any loss: the network's work is what takes time
        loss.backward()
        loss.item()
    return STEPS * BATCH / (time.perf_counter() - began)
