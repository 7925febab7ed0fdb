"""A step of a training on a CPU by several threads: each takes its share of the batch through the whole network.

    forward   x (b, 3, h, w) ► shares ► each its own graph and its own statistics of the batch ► outputs (b, …)
    backward  gradient of the outputs ► each its share's gradients of the weights ► their sum, in the order of shares

torch's own threads share one operation after the other and wait for each other after each, which leaves much of a
second core idle where operations are small. Batch normalisation takes its statistics from a share (ghost batches,
Hoffer et al., arXiv:1705.08741); what it keeps for later is the mean over the shares. The same seed, data and number of
threads give the same weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, cast

import torch
from torch import Tensor, nn

from services.trainer.parallel import Shareable, Standin

__all__ = ["in_shares"]

LEAST = 8  # pictures of a share: statistics need some
_SEEDS = 2**62


def in_shares(model: Shareable) -> Shareable:
    """The network as the losses see it: whole batches in, the outputs of whole batches out.

    The model itself on a card, or where torch may use one thread only. A step is one call and one `backward`, which
    puts the gradients into the model's own parameters.
    """
    threads = torch.get_num_threads()
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    return cast(Shareable, _Shares(model, threads)) if threads > 1 and on_cpu else model


class _Shares(Standin):
    def __init__(self, model: nn.Module, threads: int) -> None:
        super().__init__(model)
        self._threads = threads
        self._copies: list[_Copy] = []
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def forward(self, x: Tensor) -> Tensor:
        model, count = self._whole[0], min(self._threads, len(x) // LEAST)
        if count < 2 or not model.training:
            whole: Tensor = model(x)
            return whole
        while len(self._copies) < count:
            self._copies.append(_Copy(model))
        copies = self._copies[:count]
        for one in copies:
            one.follow()
        switch = torch.ones((), requires_grad=True)  # without it autograd would see nothing to learn
        output: Tensor = _Step.apply(switch, x, copies, self._pool(count))  # type: ignore[no-untyped-call]
        _remember([one.norms for one in copies])
        return output

    def _pool(self, count: int) -> ThreadPoolExecutor:
        """Threads for so many shares; they divide torch's among themselves."""
        if count not in self._pools:
            barrier = Barrier(count)  # each thread starts

            def start(_: int) -> None:
                torch.set_num_threads(self._threads // count)
                torch.get_num_threads()  # torch settles the number of a thread at its first use there
                barrier.wait()

            self._pools[count] = ThreadPoolExecutor(count, "share")
            list(self._pools[count].map(start, range(count)))
            torch.set_num_threads(self._threads)  # what threads to come start with was changed as well
        return self._pools[count]


class _Copy:
    """The model's modules once more, with the same parameters but statistics and dropout of their own."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._dice = torch.Generator()
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.__class__ = _Dropout
                cast(Any, module).dice = self._dice
        self._pairs = list(zip(model.modules(), self.model.modules(), strict=True))
        self.norms = [(a, b) for a, b in self._pairs if isinstance(a, nn.BatchNorm2d)]

    def follow(self) -> None:
        """Before a step: what is trained and what is held as in the model, its statistics, and new dice."""
        for theirs, own in self._pairs:
            own.training = theirs.training
        for theirs, own in self.norms:
            for name, kept in theirs.named_buffers(recurse=False):
                own.get_buffer(name).copy_(kept)
        self._dice.manual_seed(int(torch.randint(_SEEDS, ())))


def _remember(norms: Sequence[Sequence[tuple[nn.Module, nn.Module]]]) -> None:
    """The mean of the copies' running statistics, into the model's; (model's, copy's) layers of each copy."""
    for same in zip(*norms, strict=True):
        model = same[0][0]
        for name, kept in model.named_buffers(recurse=False) if model.training else ():
            values = [own.get_buffer(name) for _, own in same]
            kept.copy_(torch.stack(values).mean(0) if kept.is_floating_point() else values[0])


class _Step(torch.autograd.Function):
    """The shares' forward and, with the gradient of all outputs, their backward."""

    @staticmethod
    def forward(ctx: Any, switch: Tensor, x: Tensor, copies: Sequence[_Copy], pool: ThreadPoolExecutor) -> Tensor:
        narrow = torch.is_autocast_enabled("cpu")  # of this thread; the others are told

        def run(one: _Copy, share: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.get_autocast_dtype("cpu"), enabled=narrow):
                output: Tensor = one.model(share)
            return output

        ctx.outputs = list(pool.map(run, copies, x.tensor_split(len(copies))))
        ctx.parameters, ctx.pool = copies[0].parameters, pool
        return torch.cat([output.detach() for output in ctx.outputs])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None]:
        def learn(output: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
            learned: tuple[Tensor | None, ...] = torch.autograd.grad(
                output, ctx.parameters, gradient, allow_unused=True
            )
            return learned

        outputs, ctx.outputs = ctx.outputs, None  # their graphs are used up
        shares = gradients[0].tensor_split(len(outputs))
        for parts in zip(ctx.parameters, *ctx.pool.map(learn, outputs, shares), strict=True):
            parameter, *learned = parts
            for gradient in learned:
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return None, None, None, None


class _Dropout(nn.Dropout):
    """Draws from the dice of its copy: threads that share torch's would draw in any order."""

    dice: torch.Generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.empty(x.shape).bernoulli_(1 - self.p, generator=self.dice)
        return x * (kept / (1 - self.p)).to(x.dtype)
