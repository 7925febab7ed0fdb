"""Mixup: pictures and labels in the same shares, the same from the same generator."""

from __future__ import annotations

import torch

from services.trainer.augmentation import Changes
from services.trainer.augmentation.mixup import Mixed, mixed

N = 200


def pictures() -> torch.Tensor:
    """Each of one grey, all different."""
    return torch.linspace(0, 1, N).view(N, 1, 1, 1).expand(N, 3, 4, 6)


def drawn(strength: float, probability: float, seed: int = 1) -> Mixed:
    changes = Changes(mixup=strength, mixup_probability=probability)
    return mixed(pictures(), changes, torch.Generator().manual_seed(seed))


def test_each_picture_is_its_own_and_another_in_the_shares_told() -> None:
    x, other, share = drawn(1, 1)
    own = pictures()
    shares = share.view(-1, 1, 1, 1)
    assert torch.allclose(x, (1 - shares) * own + shares * own[other], atol=1e-6)
    assert sorted(other.tolist()) == list(range(N)) and (other != torch.arange(N)).sum() > N - 10
    assert 0.4 < share.mean() < 0.6 and share.max() > 0.9


def test_it_happens_as_often_and_as_strongly_as_asked() -> None:
    assert 0.35 * N < (drawn(1, 0.5).share > 0).sum() < 0.65 * N
    assert 0.2 < drawn(0.3, 1).share.max() <= 0.3
    for never in (drawn(0, 1), drawn(1, 0)):
        assert torch.equal(never.x, pictures()) and not never.share.any()


def test_it_depends_on_the_generator_alone() -> None:
    assert torch.equal(drawn(1, 0.5).x, drawn(1, 0.5).x)
    assert not torch.equal(drawn(1, 0.5).x, drawn(1, 0.5, seed=2).x)
