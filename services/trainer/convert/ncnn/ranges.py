"""What every layer with weights reads: a histogram and the mean of its input over the calibration images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from services.trainer.convert.contract import Images
from services.trainer.graph import IMAGE, Conv, FullyConnected, Graph, Layer

__all__ = ["LEVELS", "Statistics", "input_statistics", "weighted_sources"]

Floats = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
LEVELS = 127  # codes on each side of 0
BINS = 4096
_LIMITS = np.linspace(1, 0.2, 64)  # of the largest magnitude


class Statistics:
    """Of one layer's output, gathered batch by batch; `histogram` False: its mean only, which is much faster."""

    def __init__(self, histogram: bool = True) -> None:
        self._histogram = histogram
        self.low = self.high = 0.0
        self.counts: Float64 = np.zeros(BINS)
        self._total: Float64 | None = None
        self._images = 0

    def add(self, values: Floats) -> None:
        """(n, c, h, w) or (n, c)."""
        total = values.sum(0, dtype=np.float64)
        self._total = total if self._total is None else self._total + total
        self._images += len(values)
        if self._histogram:
            self._count(values)

    def _count(self, values: Floats) -> None:
        low, high = float(values.min(initial=self.low)), float(values.max(initial=self.high))
        if (low, high) != (self.low, self.high):
            if self.high > self.low:  # the counts so far, in the bins of a wider histogram
                self.counts = np.histogram(self._centres(), BINS, (low, high), weights=self.counts)[0]
            self.low, self.high = low, high
        if high > low:
            self.counts = self.counts + np.histogram(values, BINS, (low, high))[0]

    def _centres(self) -> Float64:
        return self.low + (np.arange(BINS) + 0.5) * (self.high - self.low) / BINS

    def mean(self) -> Float64:
        """Over the images: (c, h, w) or (c,)."""
        assert self._total is not None
        return np.asarray(self._total / self._images)

    def limit(self, shift: float = 0.0) -> float:
        """The largest magnitude of (value - shift) that gets a code of its own: that with the least squared error of
        `LEVELS` levels, rounding and clipping together."""
        peak = max(self.high - shift, shift - self.low)
        if peak <= 0 or not np.isfinite(peak):
            return 1.0
        values = np.abs(self._centres() - shift)
        errors = []
        for limit in peak * _LIMITS:
            step = limit / LEVELS
            errors.append(self.counts @ (np.square(values - np.minimum(values, limit)) + step * step / 12))
        return float(peak * _LIMITS[int(np.argmin(errors))])


def weighted_sources(graph: Graph) -> list[tuple[str, Conv | FullyConnected]]:
    """Every layer with weights after the name of what it reads."""
    found = []
    for layer, sources in zip(graph.layers, graph.wiring(), strict=True):
        if isinstance(layer, Conv | FullyConnected):
            found.append((IMAGE if sources[0] < 0 else graph.layers[sources[0]].name, layer))
    return found


def input_statistics(graph: Graph, images: Images, histogram: bool = True) -> Mapping[str, Statistics]:
    """By the name of the layer that reads it. Needs torch."""
    read = {source: Statistics(histogram) for source, _ in weighted_sources(graph)}

    def look(layer: Layer, output: Floats) -> None:
        if layer.name in read:
            read[layer.name].add(output)

    graph.run_float(images, look)
    if IMAGE in read:
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (graph.input.mean, graph.input.std))
        for image in images:
            read[IMAGE].add(((image[None] / np.float32(255) - mean) / std).astype(np.float32))
    return {layer.name: read[source] for source, layer in weighted_sources(graph)}
