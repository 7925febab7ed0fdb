"""Where every map lies in TinyMaix's one buffer.

TinyMaix's own converter alternates between the two ends of the buffer and keeps one more map for an addition. The
runtime only follows offsets, so any network of additions works here: every map gets the lowest gap that is free as long
as the map is needed. The image lies at 0, where `tm_load` puts it.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.trainer.convert.tinymaix.layers import align, elements
from services.trainer.convert.tinymaix.lower import Step

__all__ = ["Plan", "plan"]

IMAGE = -1


@dataclass(frozen=True)
class Plan:
    """`offsets[i]`: byte offset of the output of step i; `size`: bytes of the buffer."""

    offsets: tuple[int, ...]
    size: int


def plan(steps: tuple[Step, ...], unit: int, dequantise: bool) -> Plan:
    """`unit`: bytes of one element. With `dequantise` the output's floats lie behind its bytes."""
    owner = _owners(steps)
    sizes = {IMAGE: align(elements(steps[0].in_dims) * unit)}
    for i, step in enumerate(steps):
        if owner[i] == i:
            sizes[i] = align(elements(step.out_dims) * unit)
    last = len(steps) - 1
    if dequantise:
        sizes[owner[last]] += align(4 * elements(steps[last].out_dims))
    ends = {tensor: tensor for tensor in sizes}
    for i, step in enumerate(steps):
        for source in step.sources:
            ends[owner[source]] = i
    ends[owner[last]] = last
    offsets = _place(sizes, ends)
    size = max(offsets[tensor] + sizes[tensor] for tensor in sizes)
    return Plan(tuple(offsets[owner[i]] for i in range(len(steps))), size)


def _owners(steps: tuple[Step, ...]) -> dict[int, int]:
    """A reshape works in place: its output is its input's map."""
    owner = {IMAGE: IMAGE}
    for i, step in enumerate(steps):
        owner[i] = owner[step.sources[0]] if step.kind == "reshape" else i
    return owner


def _place(sizes: dict[int, int], ends: dict[int, int]) -> dict[int, int]:
    """Offset of every map; a map lives from its number to its end. The best of three: alternating ends, which is the
    least possible for a chain, big maps first, and running order."""
    by_size = sorted(sizes, key=lambda tensor: (tensor != IMAGE, -sizes[tensor], tensor))
    results = [_first_fit(order, sizes, ends) for order in (by_size, sorted(sizes))]
    alternating = _two_ended(sizes, ends)
    if alternating is not None:
        results.append(alternating)
    return min(results, key=lambda offsets: max(offsets[t] + sizes[t] for t in sizes))


def _busy(tensor: int, offsets: dict[int, int], sizes: dict[int, int], ends: dict[int, int]) -> list[tuple[int, int]]:
    """Bytes (start, end) of the placed maps that live at the same time, from low to high."""
    return sorted(
        (offsets[other], offsets[other] + sizes[other])
        for other in offsets
        if other <= ends[tensor] and tensor <= ends[other]
    )


def _first_fit(order: list[int], sizes: dict[int, int], ends: dict[int, int]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for tensor in order:
        at = 0
        for start, end in _busy(tensor, offsets, sizes, ends):
            if at + sizes[tensor] <= start:
                break
            at = max(at, end)
        offsets[tensor] = at
    return offsets


def _two_ended(sizes: dict[int, int], ends: dict[int, int]) -> dict[int, int] | None:
    """Lowest and highest gap in turn, within the largest sum of maps that live together; None if that is not enough."""
    capacity = max(sum(sizes[t] for t in sizes if t <= now <= ends[t]) for now in sizes)
    offsets: dict[int, int] = {}
    low = True
    for tensor in sorted(sizes):
        busy = _busy(tensor, offsets, sizes, ends)
        edges = [0, *(edge for pair in busy for edge in pair), capacity]
        gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= sizes[tensor]]
        if not gaps:
            return None
        offsets[tensor] = gaps[0][0] if low else gaps[-1][1] - sizes[tensor]
        low = not low
    return offsets
