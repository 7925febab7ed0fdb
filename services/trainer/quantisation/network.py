"""A converters' graph that can be trained while it rounds as a chip does; gradients pass through the rounding.

    w = scale[o] * v                    v is what the optimiser moves: its steps are shares of a channel's own weights,
                                        which after folding differ a thousandfold between channels
    rounded w ─┐
    rounded x ─┴► layer ► activation ► its map, rounded by whoever reads it

Beside it runs the same network without rounding, which keeps the mean of every channel, as the bias correction of the
converters does: what is learned is to make the rest of the error small.

Rounding and its straight-through gradient (Bengio et al., arXiv:1308.3432) are torch's fake_quantize; what a range
clips has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.trainer.convert.awnn.ranges import threshold
from services.trainer.graph import Conv, FullyConnected, Graph, Layer, activate, run_layer
from services.trainer.quantisation.scheme import Scheme

__all__ = ["QuantisedNetwork"]

_HIGHEST = 127
_BYTE = 255
_TINY = 1e-8
_SAMPLE = 200_000  # values of a map that its range is chosen from
_IMAGE_RANGE = (-1.0, 1.0)  # of AWNN's input, whatever the pictures


@dataclass(frozen=True)
class _Steps:
    """real = scale * (code - zero), codes from `low` to `high`."""

    scale: float
    zero: int
    low: int
    high: int

    def rounded(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, self.low, self.high)


class QuantisedNetwork(nn.Module):
    """Images (n, c, h, w), normalised, to the graph's output (n, …), as the scheme's chip rounds and in float.

    `set_ranges` must come first, and again when the weights have moved. A batch needs several pictures: means are its.
    """

    def __init__(self, graph: Graph, scheme: Scheme) -> None:
        super().__init__()
        self._graph, self._scheme = graph, scheme
        self._wiring, self._last = graph.wiring(), graph.last_uses()
        self._steps: dict[int, _Steps] = {}
        weighted = [i for i, layer in enumerate(graph.layers) if isinstance(layer, Conv | FullyConnected)]
        self._place = {i: place for place, i in enumerate(weighted)}
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for place, i in enumerate(weighted):
            layer = graph.layers[i]
            assert isinstance(layer, Conv | FullyConnected)
            weight = torch.from_numpy(np.array(layer.weight, np.float32))
            length = weight.flatten(1).norm(dim=1)  # about what a bias is measured by: inputs are near 1
            size = (length / weight[0].numel() ** 0.5).clamp(min=_TINY)
            self.register_buffer(f"size{place}", size.view(-1, *(1,) * (weight.ndim - 1)))
            self.register_buffer(f"length{place}", length.clamp(min=_TINY))
            self.weights.append(nn.Parameter(weight / self._buffer("size", place)))
            bias = torch.from_numpy(np.array(layer.bias, np.float32))
            self.biases.append(nn.Parameter(bias / self._buffer("length", place)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        graph, scheme = self._graph, self._scheme
        plain, chip = {-1: x}, {-1: x}
        for i, layer in enumerate(graph.layers):
            sources = self._wiring[i]
            rounded = [self._read(layer, source, chip[source]) for source in sources]
            plain[i], chip[i] = self._both(i, layer, [plain[source] for source in sources], rounded)
            for source in set(sources):
                if source >= 0 and self._last[source] == i:
                    del plain[source], chip[source]
        last = len(graph.layers) - 1
        output = self._steps[last].rounded(chip[last]) if scheme.rounds_output(graph.layers[last]) else chip[last]
        return output, plain[last]

    def in_float(self, x: Tensor) -> Tensor:
        """As `forward`, without any rounding and without gradients."""
        return self._float(x)

    def set_ranges(self, x: Tensor) -> None:
        """The range of every map from some normalised images, in float, by the scheme's rule."""
        self._float(x, self._choose)
        if self._scheme.image:
            self._steps[-1] = _symmetric(_IMAGE_RANGE[1])

    def tuned(self) -> Graph:
        """The graph with the weights as they are now, in float."""
        layers = list(self._graph.layers)
        with torch.no_grad():
            for i in self._place:
                layer = layers[i]
                assert isinstance(layer, Conv | FullyConnected)
                weight, bias = (value.cpu().numpy().copy() for value in self._weights(i, rounding=False))
                layers[i] = replace(layer, weight=weight, bias=bias)
        return replace(self._graph, layers=tuple(layers))

    def _float(self, x: Tensor, look: Callable[[int, Tensor], None] = lambda i, y: None) -> Tensor:
        live = {-1: x}
        with torch.no_grad():
            for i, layer in enumerate(self._graph.layers):
                y = live[i] = self._layer(i, layer, [live[source] for source in self._wiring[i]])
                look(i, y)
                for source in set(self._wiring[i]):
                    if source >= 0 and self._last[source] == i:
                        del live[source]
        return y

    def _read(self, layer: Layer, source: int, x: Tensor) -> Tensor:
        return self._steps[source].rounded(x) if self._scheme.rounds_input(layer, source) else x

    def _layer(self, i: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if not isinstance(layer, Conv | FullyConnected):
            return run_layer(layer, *inputs)
        return activate(layer.activation, _sums(layer, inputs[0], *self._weights(i, rounding=False)))

    def _both(self, i: int, layer: Layer, plain: list[Tensor], rounded: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The layer without and with rounding; the means of its sums are made equal, as every converter does."""
        if not isinstance(layer, Conv | FullyConnected):
            return run_layer(layer, *plain), run_layer(layer, *rounded)
        sums = _sums(layer, plain[0], *self._weights(i, rounding=False))
        rounds = self._scheme.rounds_weights(layer, self._wiring[i][0])
        chip = _sums(layer, rounded[0], *self._weights(i, rounds))
        over = (0, *range(2, sums.ndim))
        chip = chip + (sums.mean(over, keepdim=True) - chip.mean(over, keepdim=True))
        return activate(layer.activation, sums), activate(layer.activation, chip)

    def _weights(self, i: int, rounding: bool) -> tuple[Tensor, Tensor]:
        place = self._place[i]
        weight = self.weights[place] * self._buffer("size", place)
        bias = self.biases[place] * self._buffer("length", place)
        if rounding:
            scale = (weight.detach().flatten(1).abs().amax(1) / _HIGHEST).clamp(min=_TINY)
            zero = torch.zeros(len(scale), dtype=torch.int32, device=scale.device)
            weight = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -_HIGHEST, _HIGHEST)
        return weight, bias

    def _buffer(self, kind: str, place: int) -> Tensor:
        return self.get_buffer(f"{kind}{place}")

    def _choose(self, i: int, y: Tensor) -> None:
        low, high = min(y.min().item(), 0.0), max(y.max().item(), 0.0)
        if self._scheme.maps == "unsigned":
            self._steps[i] = _affine(low, high, 0, _BYTE)
            return
        flat = y.flatten()
        every = max(1, len(flat) // _SAMPLE) | 1  # odd, so as to meet all columns of a map
        moves = self._scheme.moves(self._graph, i)
        top = threshold(flat[::every].cpu().numpy(), "mse")
        self._steps[i] = _affine(0.0, min(top, high), -_HIGHEST, _HIGHEST) if moves else _symmetric(top)


def _sums(layer: Conv | FullyConnected, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if isinstance(layer, FullyConnected):
        return F.linear(x.flatten(1), weight, bias)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=len(weight) if layer.depthwise else 1)


def _affine(low: float, high: float, first: int, last: int) -> _Steps:
    scale = max(high - low, _TINY) / (last - first)
    return _Steps(scale, first + round(-low / scale), first, last)


def _symmetric(top: float) -> _Steps:
    return _Steps(max(top, _TINY) / _HIGHEST, 0, -_HIGHEST, _HIGHEST)
