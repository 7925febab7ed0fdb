from __future__ import annotations

import pytest
import torch

from services.trainer.device import autocast, choose_device, device_words, moved


def test_the_card_is_taken_when_there_is_one() -> None:
    device = choose_device()
    assert (device.type == "cuda") == torch.cuda.is_available()
    there = moved(torch.arange(3), device)
    assert there.device.type == device.type and there.tolist() == [0, 1, 2]
    assert device_words(device) == "the CPU" or device.type == "cuda"


@pytest.mark.parametrize(("kind", "wanted"), [("cpu", torch.float32), ("cuda", torch.bfloat16)])
def test_bfloat16_is_for_cards_only(kind: str, wanted: torch.dtype) -> None:
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA card here")
    device = torch.device(kind)
    with autocast(device):
        product = torch.nn.functional.conv2d(
            torch.ones(1, 1, 4, 4, device=device), torch.ones(1, 1, 3, 3, device=device)
        )
    assert product.dtype == wanted
