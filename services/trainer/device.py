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
    """bfloat16 activations where the device multiplies them: cards, and CPUs with AVX512-BF16 or AMX.

    Weights, their gradients and statistics stay float32. Where a CPU has to emulate it nothing changes.
    """
    return torch.autocast(device.type, torch.bfloat16) if _has_bfloat16(device) else nullcontext()


def _has_bfloat16(device: torch.device) -> bool:
    return device.type == "cuda" or any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; the copy to a card runs while the CPU goes on."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def device_words(device: torch.device) -> str:
    """For the job's log."""
    name = "the CPU" if device.type == "cpu" else str(torch.cuda.get_device_name(device))
    return f"{name}, bfloat16" if _has_bfloat16(device) else name
