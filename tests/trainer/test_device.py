from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from services.trainer.backbones.blocks import ConvNormActivation
from services.trainer.device import autocast, choose_device, device_words, moved
from services.trainer.graph import Activation


def test_the_card_is_taken_when_there_is_one() -> None:
    device = choose_device()
    assert (device.type == "cuda") == torch.cuda.is_available()
    there = moved(torch.arange(3), device)
    assert there.device.type == device.type and there.tolist() == [0, 1, 2]
    assert device_words(device).startswith("the CPU") or device.type == "cuda"


NATIVE = torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")


@pytest.mark.parametrize(
    ("kind", "wanted"), [("cpu", torch.bfloat16 if NATIVE else torch.float32), ("cuda", torch.bfloat16)]
)
def test_bfloat16_is_for_devices_that_multiply_it(kind: str, wanted: torch.dtype) -> None:
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA card here")
    device = torch.device(kind)
    with autocast(device):
        product = conv2d(torch.ones(1, 1, 4, 4, device=device), torch.ones(1, 1, 3, 3, device=device))
    assert product.dtype == wanted
    assert ("bfloat16" in device_words(device)) == (wanted == torch.bfloat16)


def test_a_cpu_that_emulates_bfloat16_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    with autocast(torch.device("cpu")):
        assert conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)).dtype == torch.float32
    assert device_words(torch.device("cpu")) == "the CPU"


@pytest.mark.parametrize("groups", [1, 16])
def test_gradients_in_bfloat16_are_those_of_float32_to_its_digits(groups: int) -> None:
    torch.manual_seed(0)
    block = ConvNormActivation(16, 16, 3, 2, groups, activation=Activation.relu6())
    x = torch.randn(4, 16, 12, 12, requires_grad=True)
    gradients = []
    for narrow in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            y = block(x)
        assert y.dtype == (torch.bfloat16 if narrow else torch.float32)
        gradients.append(
            torch.cat([g.flatten() for g in torch.autograd.grad(y.float().square().sum(), [x, block.conv.weight])])
        )
    exact, rounded = gradients
    assert (rounded - exact).norm() < 0.02 * exact.norm()
