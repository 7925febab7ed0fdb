"""A step by several threads beside the same step by one: gradients, statistics, dropout, threads of torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from services.trainer.config import HEADS, TrainingConfig
from services.trainer.estimate import ANCHORS
from services.trainer.networks import Network, build
from services.trainer.shares import LEAST, in_shares
from services.trainer.starting import Frozen
from tests.trainer.detection.drawn import LABELS, drawn_scenes


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def network(head: str = "classifier", dropout: float = 0.0) -> Network:
    torch.manual_seed(0)
    config = TrainingConfig.model_validate({"backbone": "mobilenet_v1_0.25", "dropout": dropout, "head": head})
    return build(config, len(LABELS), ANCHORS).double().train()


def pictures(count: int = 2 * LEAST) -> Tensor:
    return torch.from_numpy(drawn_scenes(count, 96, seed=1)[0]).double() / 255


def learn(model: nn.Module, x: Tensor, of: nn.Module | None = None) -> dict[str, Tensor]:
    """Loss, gradients and statistics after a step; `model` may be `of` in shares."""
    loss = model(x).square().mean()
    loss.backward()
    of = of or model
    gradients = {name: one.grad for name, one in of.named_parameters() if one.grad is not None}
    return {"loss": loss.detach(), **gradients, **dict(of.named_buffers())}


def assert_same(some: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert some.keys() == others.keys()
    for name, value in others.items():
        assert (some[name] - value).double().norm() <= 1e-10 * value.double().norm(), name


@pytest.mark.parametrize("head", HEADS)
def test_with_statistics_held_a_step_in_shares_is_that_of_the_whole_batch(head: str) -> None:
    steps = []
    for shared in (False, True):
        model = network(head)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        steps.append(learn(in_shares(model) if shared else model, pictures(2 * LEAST + 3), model))
    assert_same(steps[1], steps[0])


def test_each_share_has_its_own_statistics_and_the_mean_of_them_is_kept() -> None:
    model, x = network(), pictures()
    halves = [copy.deepcopy(model) for _ in range(2)]
    alone = [learn(half, part) for half, part in zip(halves, x.tensor_split(2), strict=True)]
    shared = learn(in_shares(model), x, model)
    wanted = {name: (value.double() + alone[1][name]) / 2 for name, value in alone[0].items()}
    assert_same(shared, wanted)
    assert (shared["backbone.layers.0.1.running_mean"] - alone[0]["backbone.layers.0.1.running_mean"]).abs().max() > 0


def test_dropout_of_the_same_seed_is_the_same_and_differs_between_shares() -> None:
    def run(seed: int) -> Tensor:
        model = network(dropout=0.5)
        torch.manual_seed(seed)
        half = pictures(LEAST)
        output: Tensor = in_shares(model)(torch.cat([half, half]))
        return output.detach()

    assert torch.equal(run(1), run(1)) and not torch.equal(run(1), run(2))
    first, second = run(1).tensor_split(2)
    assert not torch.allclose(first, second)


def test_frozen_layers_stay_as_they_are() -> None:
    model = network()
    frozen = Frozen(model, 0.5)
    frozen.hold()
    before = copy.deepcopy(model.state_dict())
    step = learn(in_shares(model), pictures(), model)
    held = [name for name, _ in frozen.layers[0].named_parameters(prefix="backbone.layers.0")]
    assert held and not set(held) & step.keys()
    assert torch.equal(before["backbone.layers.0.1.running_mean"], step["backbone.layers.0.1.running_mean"])
    assert not torch.equal(before["backbone.layers.26.1.running_mean"], step["backbone.layers.26.1.running_mean"])


def test_a_small_batch_stays_whole_and_so_does_evaluation() -> None:
    model = network()
    shared = in_shares(model)
    small = pictures(2 * LEAST - 1)
    twin = copy.deepcopy(model)
    assert_same(learn(shared, small, model), learn(twin, small))
    model.eval()
    assert torch.equal(shared(pictures()), model(pictures()))


def test_one_thread_changes_nothing() -> None:
    torch.set_num_threads(1)
    model = network()
    assert in_shares(model) is model


def test_threads_of_torch_are_divided_among_the_shares_and_nobody_else_s_change() -> None:
    torch.set_num_threads(4)
    seen: list[int] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            torch.ones(10**6).sum()  # an operation that torch divides
            seen.append(torch.get_num_threads())
            output: Tensor = self.layer(x)
            return output

    in_shares(Watched())(torch.ones(2 * LEAST, 2)).sum().backward()
    with ThreadPoolExecutor(1) as pool:
        assert seen == [2, 2] and torch.get_num_threads() == 4 and pool.submit(torch.get_num_threads).result() == 4


def test_an_error_of_a_share_comes_out() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        in_shares(network())(torch.ones(2 * LEAST, 4, 96, 96, dtype=torch.double))
