"""Which real values the 256 levels of a map stand for, chosen so that TinyMaix's arithmetic stays harmless.

    level   0 ────────── zero ─────────────────────── top ── 255       int8 = level - 128, real = step*(level - zero)

TinyMaix cuts results towards zero and lets values beyond 127 wrap around to -128. Two facts undo both:

* The only clamp is ReLU6, min(max(y, 0), 6), before the output scale. The unit of y is free, since the next layer has
  an input scale of its own. So every convolution is written as a ReLU6 whose 6 is the top level, whose 0 is the lowest
  level, and whose bias carries `zero`: it saturates at both ends, also where the network has ReLU or nothing.
* Cutting towards zero means rounding up below level 128 and down above. A shift of the bias by half a level turns the
  lower half, where most activations are, into rounding to nearest. `choose` tries shifts and ranges and keeps the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["INPUT_STEP", "MIDDLE", "SMALLEST_RANGE", "Levels", "choose", "input_levels", "sum_levels"]

Array = npt.NDArray[np.floating]

MIDDLE = 128  # int8 0: the cut changes direction
HIGHEST = 255
SAMPLE = 30_000  # values that the search looks at
RANGES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0)  # of the range seen; above 1.9 all lie below the middle
SAFE_RANGES = tuple(r for r in RANGES if r > 1)  # of the network's output, whose highest values are the answer
SHIFTS = (-0.5, -0.25, 0.0, 0.25, 0.5)
SMALLEST_RANGE = 1e-6
INPUT_STEP = 1 / 255


@dataclass(frozen=True)
class Levels:
    """`shift` is added before the cut, in levels; only convolutions can."""

    step: float
    zero: int
    top: int = HIGHEST
    shift: float = 0.0

    @property
    def zero_point(self) -> int:
        return self.zero - MIDDLE

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest real value."""
        return -self.zero * self.step, (self.top - self.zero) * self.step

    @property
    def clamp(self) -> float:
        """Where ReLU6 must clamp, in levels, so that the cut gives `top`: half a level from both neighbours."""
        return self.top + 0.5 if self.top >= MIDDLE else self.top - 0.5

    def real(self, q: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        return np.asarray((q.astype(np.float32) - self.zero_point) * np.float32(self.step), np.float32)

    def quantised(self, y: Array) -> Array:
        """`y` through the levels and back, as a convolution of TinyMaix gives it."""
        level = np.clip(y / self.step + self.zero + self.shift, 0, self.clamp)
        return np.asarray((np.trunc(level - MIDDLE) + MIDDLE - self.zero) * self.step)


def input_levels(means: tuple[float, ...]) -> Levels:
    """Of the image's bytes, whatever its normalisation: `zero` is the grey that padding gets."""
    return Levels(INPUT_STEP, int(np.clip(round(255 * sum(means) / len(means)), 0, HIGHEST)))


def choose(y: Array, limit: float | None, is_output: bool) -> Levels:
    """Levels for the outputs `y` of a convolution on the calibration images; `limit` is 6 for ReLU6."""
    sample = _sample(y)
    low, high = min(float(y.min()), 0.0), max(float(y.max()), 0.0, SMALLEST_RANGE)
    tried = [
        _levels(low * min(share, 1.0), share, high, limit, shift)
        for share in (SAFE_RANGES if is_output else RANGES)
        for shift in SHIFTS
    ]
    return min(tried, key=lambda levels: float(np.square(levels.quantised(sample) - sample).mean()))


def _levels(low: float, share: float, high: float, limit: float | None, shift: float) -> Levels:
    step = (share * high - low) / HIGHEST
    zero = min(round(-low / step), HIGHEST)
    top = HIGHEST
    if limit is not None and share * high > limit:
        step = max(step, limit / HIGHEST)
        top = max(1, min(HIGHEST, round(limit / step)))
        step = limit / top
    return Levels(step, zero, top, shift)


def _sample(y: Array) -> Array:
    flat = y.reshape(-1)
    if len(flat) > SAMPLE:  # at random: a regular step can miss channels
        flat = flat[np.random.default_rng(0).integers(0, len(flat), SAMPLE)]
    return flat.astype(np.float64)


def sum_levels(a: Levels, b: Levels, y: Array) -> Levels:
    """Levels for a + b. An addition of TinyMaix has no clamp, so the levels hold every sum of two operands."""
    low, high = a.range[0] + b.range[0], max(a.range[1] + b.range[1], SMALLEST_RANGE)
    sample = _sample(y)
    tried = []
    for levels in (HIGHEST - 1, MIDDLE - 2):  # all of them, or the lower half, where the cut has one direction
        step = (high - low) / levels
        zero = int(np.ceil(-low / step))
        tried.append(Levels(step, zero, min(HIGHEST, zero + int(np.ceil(high / step)))))
    # Without a shift the mean error remains; it goes into the next bias, so only the variance counts.
    return min(tried, key=lambda levels: float((levels.quantised(sample) - sample).var()))
