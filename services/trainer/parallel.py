"""One training by several processes: each runs its share of every batch through the network.

    all       the same pictures, changed in the same way (the same seed)         x (b, 3, h, w)
    each      its share of x through its copy of the network ► outputs of all, gathered (b, …) ► the same loss
    backward  each its share; gradients summed ► the same step everywhere

Batch normalisation takes its statistics from the whole batch, dropout draws for the whole batch: the result is that of
one process to float tolerance. The ranks come as torchrun gives them: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ALONE", "OWN_GPU", "Group", "Shareable", "Standin", "join"]

_TIMEOUT = timedelta(minutes=10)  # for the slowest: one worker may still decode its pictures
Shareable = TypeVar("Shareable", bound=nn.Module)
OWN_GPU = "BOARDLOOP_OWN_GPU"  # "1": no other rank computes on this one's card


class Group:
    """The processes of one training; of one alone nothing is shared and nothing costs anything."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.share, self.batch = slice(None), 0  # of the batch that is computed now
        self._stop = False
        self._asked: Callable[[], bool] = lambda: False

    def shared(self, model: Shareable) -> Shareable:
        """The network as the losses see it: whole batches in, the outputs of whole batches out."""
        return model if self.size == 1 else cast(Shareable, _Shared(model, self))

    def prepare(self, model: nn.Module) -> None:
        """Before training: normalisation and dropout over whole batches."""
        for module in model.modules() if self.size > 1 else ():
            if isinstance(module, nn.BatchNorm2d):
                module.__class__ = _Norm
            elif isinstance(module, nn.Dropout):
                module.__class__ = _Dropout
            else:
                continue
            cast(Any, module).group = [self]  # in a list: a copy of the module keeps the same group

    def agreed(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """Whether to stop, the same answer everywhere: the first process's `stopping` at the time of the last step."""
        self._asked = stopping
        return stopping if self.size == 1 else lambda: self._stop

    def sum_gradients(self, model: nn.Module) -> None:
        """After `backward`; the same message carries whether to stop."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        asked = gradients[0].new_tensor([float(self.rank == 0 and self._asked())])
        flat = torch.cat([asked, *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(flat)
        self._stop = bool(flat[0] > 0)
        offset = 1
        for gradient in gradients:
            gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
            offset += gradient.numel()

    def same(self, value: float) -> float:
        """The first process's value."""
        if self.size == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told)
        return told[0]


ALONE = Group()


def join(device: torch.device) -> Group:
    """The group that the environment names, connected; one alone when it names none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Group()
    own = device.type == "cuda" and os.environ.get(OWN_GPU) == "1"
    dist.init_process_group("nccl" if own else "gloo", timeout=_TIMEOUT)
    return Group(dist.get_rank(), size)


class _Sum(torch.autograd.Function):
    """The sum over all processes; each one's gradient is the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    """All shares as one batch. Every process has the loss of the whole batch: its share's gradient is all it needs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.share = group.share
        whole = x.new_zeros(group.batch, *x.shape[1:])
        whole[group.share] = x
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.share], None


def _wide(x: Tensor) -> Tensor:
    """float32 of what autocast made narrower: sums over many need its digits."""
    return x.float() if x.dtype == torch.bfloat16 else x


class Standin(nn.Module):
    """Takes the place of a network where losses call it, and answers what else they ask of it: its anchors, say."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._whole = [model]  # in a list: its parameters are not this module's

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_whole"][0], name)


class _Shared(Standin):
    """Whole batches in and out, this process's share inside."""

    def __init__(self, model: nn.Module, group: Group) -> None:
        super().__init__(model)
        self._group = group

    def forward(self, x: Tensor) -> Tensor:
        group = self._group
        group.batch = len(x)
        first, end = (len(x) * rank // group.size for rank in (group.rank, group.rank + 1))
        group.share = slice(first, end)
        output: Tensor = _Gather.apply(_wide(self._whole[0](x[group.share])), group)  # type: ignore[no-untyped-call]
        return output


class _Norm(nn.BatchNorm2d):
    """Statistics of the whole batch, from each process's mean and squared deviations (Chan et al., 1979)."""

    group: list[Group]

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        kind, x = x.dtype, _wide(x)
        group, channels = self.group[0], x.shape[1]
        count = x.numel() / channels
        mean = x.sum((0, 2, 3)) / max(count, 1)
        deviation = (x - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3))
        row = torch.cat([mean, deviation, mean.new_tensor([count])])
        rows = torch.zeros(group.size, len(row), dtype=row.dtype, device=row.device)
        rows = torch.cat([rows[: group.rank], row[None], rows[group.rank + 1 :]])
        rows = _Sum.apply(rows)  # type: ignore[no-untyped-call]  # (processes, 2*channels + 1)
        means, deviations, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        squares = deviations.sum(0) + (counts * (means - mean).square()).sum(0)
        self._remember(mean.detach(), (squares / (total - 1)).detach())
        scale = self.weight * torch.rsqrt(squares / total + self.eps)
        normalised: Tensor = x * scale.view(1, -1, 1, 1) + (self.bias - mean * scale).view(1, -1, 1, 1)
        return normalised.to(kind)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _Dropout(nn.Dropout):
    """Draws for the whole batch, as one process would, and uses its share."""

    group: list[Group]

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        group = self.group[0]
        kept = F.dropout(torch.ones(group.batch, *x.shape[1:], device=x.device, dtype=x.dtype), self.p, True)
        return x * kept[group.share]
