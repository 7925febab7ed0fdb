from __future__ import annotations

import pytest

from services.trainer.convert.tinymaix.layers import elements
from services.trainer.convert.tinymaix.lower import lower
from services.trainer.convert.tinymaix.memory import plan
from tests.trainer.convert.networks import classifier, conv, graph
from tests.trainer.convert.tinymaix.nets import random_net, residual


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("unit", [1, 4])
def test_no_map_is_written_while_another_needs_its_bytes(seed: int, unit: int) -> None:
    steps = lower(random_net(seed))
    place = plan(steps, unit, dequantise=unit == 1)
    offsets = {-1: 0, **dict(enumerate(place.offsets))}
    sizes = {-1: elements(steps[0].in_dims) * unit, **{i: elements(s.out_dims) * unit for i, s in enumerate(steps)}}
    for i, step in enumerate(steps):
        needed = {source for later in steps[i:] for source in later.sources if source < i} - {i}
        for other in needed if step.kind != "reshape" else ():
            apart = offsets[i] >= offsets[other] + sizes[other] or offsets[other] >= offsets[i] + sizes[i]
            assert apart, f"step {i} writes over the map of step {other}"
        assert offsets[i] % 8 == 0 and offsets[i] + sizes[i] <= place.size


@pytest.mark.parametrize("widths", [(16, 32, 8), (64, 64, 2), (2, 90, 3), (5, 4, 60)])
def test_a_chain_takes_no_more_than_its_largest_pair_of_maps(widths: tuple[int, int, int]) -> None:
    a, b, c = widths
    layers = conv("a", (3, a)), conv("b", (a, b), stride=2), conv("c", (b, c)), *classifier(4, c)
    steps = lower(graph(*layers))
    pairs = [elements(step.in_dims) + elements(step.out_dims) for step in steps]
    assert plan(steps, 4, dequantise=False).size == 4 * max(pairs)


def test_a_residual_network_keeps_its_branches() -> None:
    steps = lower(residual())
    assert plan(steps, 1, dequantise=True).size <= sum(sorted(elements(step.out_dims) for step in steps)[-4:])
