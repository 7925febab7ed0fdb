"""The fine-tuning itself, after the float training in its child process: `quantised.pt` of the job folder.

pictures of the train split, changed at random ──┬─► the float network ──────────► answers ─┐
                                                 └─► the same network, rounding ─► answers ─┴─► squared error ─► AdamW

The float network is the only teacher: what is wanted is its answers in 8 bits, so labels and boxes are not needed. The
weights must also give those answers without rounding, since the converters correct towards what they give in float.
The file holds the weights after the last finished epoch, and until the end what a run started again goes on with.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.trainer.augmentation import augmented
from services.trainer.config import TrainingConfig
from services.trainer.device import choose_device, moved
from services.trainer.graph import Conv, FullyConnected, Graph
from services.trainer.model import normalised
from services.trainer.pictures import Pictures
from services.trainer.quantisation.network import QuantisedNetwork
from services.trainer.quantisation.scheme import SCHEMES
from services.trainer.schedule import Pace, batches

__all__ = ["FILE", "more_epochs", "tune", "tuned_graph"]

FILE = "quantised.pt"
RATE = 1.5e-3  # of a channel's own size a step, over all layers together: their changes multiply; falls along a cosine
CALIBRATION_PICTURES = 32
_MAX_GRADIENT = 5.0
_TINY = 1e-6

Emit = Callable[[dict[str, Any]], None]


def tune(
    folder: Path,
    graph: Graph,
    target: str,
    config: TrainingConfig,
    pictures: Pictures,
    emit: Emit,
    stopping: Callable[[], bool],
) -> None:
    """Fine-tune best.pt's `graph` for `target` on the train split, `config.qat_epochs` times through.

    A run started again goes on after the last finished epoch. A stop ends it after the current step; what finished
    epochs have brought is kept.
    """
    device = choose_device()
    network = QuantisedNetwork(graph, SCHEMES[target]).to(device)
    teacher = QuantisedNetwork(graph, SCHEMES[target]).to(device).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0)
    rate = RATE / max(len(network.weights), 1)
    source = _source(folder, target)
    done = _resumed(folder / FILE, source, config, network, optimizer)
    chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), CALIBRATION_PICTURES)).round().astype(int)
    some = normalised(torch.from_numpy(pictures[chosen.tolist()])).to(device)
    unit = _spread(teacher.in_float(some))
    steps = len(list(batches(len(pictures), config.batch_size, torch.Generator())))
    pace = Pace(len(pictures) * (config.qat_epochs - done))
    for epoch in range(done, config.qat_epochs):
        network.set_ranges(some)
        generator = torch.Generator().manual_seed(config.seed * 100_003 + config.epochs + epoch)
        total, count = 0.0, 0
        for step, indices in enumerate(batches(len(pictures), config.batch_size, generator), 1):
            if stopping():
                emit(_log(f"Stopped in quantisation-aware epoch {epoch + 1}."))
                return
            share = (epoch + (step - 1) / steps) / config.qat_epochs
            lr = rate * 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = lr
            x = moved(torch.from_numpy(pictures[indices.tolist()]), device).float() / 255
            x = normalised(augmented(x, config, generator) * 255)
            wanted = teacher.in_float(x)
            missed, drifted = (((answers - wanted).square() / unit).mean() for answers in network(x))
            loss = missed + drifted
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT)
            optimizer.step()
            total, count = total + missed.item() * len(indices), count + len(indices)
            now: dict[str, Any] = {
                "epoch": config.epochs + epoch + 1,
                "epochs": config.epochs + config.qat_epochs,
                "step": step,
            }
            now |= {"steps": steps, "validation": 0, "lr": lr, **pace.after(len(indices))}
            if pace.due():
                emit({"type": "step", "loss": total / count, **now})
        _save(folder / FILE, source, config, epoch + 1, network, optimizer)
        emit(_log(f"Quantisation-aware epoch {epoch + 1} of {config.qat_epochs}: "
                  f"the answers in 8 bits miss {total / count:.2%} of the float network's variance."))  # fmt: skip


def _spread(answers: Tensor) -> Tensor:
    """The variance of each output over pictures, and of a map's channels over its cells too: the unit of the loss."""
    over = (0, *range(2, answers.ndim))
    return answers.var(over, keepdim=True).clamp(min=_TINY)


def more_epochs(emit: Emit, config: TrainingConfig) -> Emit:
    """`emit` with the epochs of the fine-tuning counted into those of the training, for progress and time."""

    def told(event: dict[str, Any]) -> None:
        if "epochs" in event:
            event = {**event, "epochs": event["epochs"] + config.qat_epochs}
        emit(event)

    return told if config.qat_epochs else emit


def tuned_graph(folder: Path, graph: Graph, target: str) -> tuple[Graph, int] | None:
    """`graph` with the weights fine-tuned for `target`, and after how many epochs; None where there are none."""
    path = folder / FILE
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["source"] != _source(folder, target):
        return None
    layers = tuple(
        replace(layer, weight=saved["weights"][layer.name].numpy(), bias=saved["biases"][layer.name].numpy())
        if isinstance(layer, Conv | FullyConnected)
        else layer
        for layer in graph.layers
    )
    return replace(graph, layers=layers), int(saved["epoch"])


def _source(folder: Path, target: str) -> str:
    """What a fine-tuning belongs to."""
    return f"{target} {hashlib.sha256((folder / 'best.pt').read_bytes()).hexdigest()}"


def _save(
    path: Path,
    source: str,
    config: TrainingConfig,
    epoch: int,
    network: QuantisedNetwork,
    optimizer: torch.optim.Optimizer,
) -> None:
    weighted = [layer for layer in network.tuned().layers if isinstance(layer, Conv | FullyConnected)]
    saved: dict[str, Any] = {
        "source": source,
        "epoch": epoch,
        "epochs": config.qat_epochs,
        "weights": {layer.name: torch.from_numpy(layer.weight) for layer in weighted},
        "biases": {layer.name: torch.from_numpy(layer.bias) for layer in weighted},
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    part = path.with_suffix(".part")
    torch.save(saved, part)
    part.replace(path)


def _resumed(
    path: Path, source: str, config: TrainingConfig, network: QuantisedNetwork, optimizer: torch.optim.Optimizer
) -> int:
    """Epochs that an earlier run of the same fine-tuning has done."""
    if not path.exists():
        return 0
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["source"] != source or saved["epochs"] != config.qat_epochs:
        return 0
    network.load_state_dict(saved["network"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["epoch"])


def _log(message: str) -> dict[str, Any]:
    return {"type": "log", "message": message}
