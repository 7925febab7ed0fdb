"""One step of a training in 64 bits, as one of the processes that the environment names."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from services.trainer.model import Classifier
from services.trainer.parallel import join


def main(out: Path) -> None:
    """Loss, gradients and batch statistics go to a file of `out`."""
    torch.set_num_threads(1)
    workers = join(torch.device("cpu"))
    torch.manual_seed(0)
    model = Classifier("mobilenet_v1_0.25", 2, 0.3).double().train()
    workers.prepare(model)
    network = workers.shared(model)
    x = torch.rand(7, 3, 96, 96, dtype=torch.float64)
    loss = F.cross_entropy(network(x), torch.arange(7) % 2)
    loss.backward()
    workers.sum_gradients(model)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    statistics = {name: value for name, value in model.named_buffers() if value.is_floating_point()}
    torch.save({"loss": loss.detach(), **gradients, **statistics}, out / f"{workers.size}-{workers.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
