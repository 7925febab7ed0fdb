"""Where a training computes: on a CUDA card when there is one, else on the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["autocast", "choose_device", "device_words", "moved"]


def choose_device() -> torch.device:
    """The card, with TF32 products.

    cuDNN chooses algorithms by its own rules: trying them out (`cudnn.benchmark`) took over half a minute a network on
    an H100, longer than many trainings.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda")


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 convolutions on a card; nothing on CPUs, where bfloat16 halves the speed."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; the copy to a card runs while the CPU goes on."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def device_words(device: torch.device) -> str:
    """For the job's log."""
    return "the CPU" if device.type == "cpu" else str(torch.cuda.get_device_name(device))
