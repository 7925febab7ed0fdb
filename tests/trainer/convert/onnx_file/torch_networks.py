"""Networks as people write them in PyTorch, with batch normalisation that has seen numbers, and their ONNX exports."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn


def conv(c_in: int, c_out: int, k: int = 3, s: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU6) -> Any:
    layers: list[nn.Module] = [nn.Conv2d(c_in, c_out, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Inverted(nn.Module):
    """MobileNetV2's block."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        wide = 3 * c_in
        self.conv = nn.Sequential(
            conv(c_in, wide, 1), conv(wide, wide, 3, stride, wide), conv(wide, c_out, 1, act=None)
        )
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class Basic(nn.Module):
    """ResNet's block."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.one, self.two = conv(c_in, c_out, 3, stride, act=nn.ReLU), conv(c_out, c_out, act=None)
        self.down = conv(c_in, c_out, 1, stride, act=None) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.two(self.one(x)) + self.down(x))


class PreActivation(nn.Module):
    """ResNet v2: batch normalisation and ReLU before the convolution, on a sum that the shortcut reads too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(torch.relu(self.norm(x)))


class MeanHead(nn.Module):
    """features, x.mean([2, 3]), dropout, linear; `flatten` as view(x.size(0), -1)."""

    def __init__(self, features: nn.Module, channels: int, classes: int = 5) -> None:
        super().__init__()
        self.features, self.linear, self.dropout = features, nn.Linear(channels, classes), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x).mean([2, 3])
        return self.linear(self.dropout(y.view(y.size(0), -1)))


class InputNormalised(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner((x / 255 - 0.5) / 0.25)


def networks() -> dict[str, nn.Module]:
    """Each eats (n, 3, 32, 32)."""
    v1 = [conv(3, 8, 3, 2), conv(8, 8, 3, 1, 8), conv(8, 16, 1), conv(16, 16, 3, 2, 16), conv(16, 24, 1)]
    leaky = lambda: nn.LeakyReLU(0.1)  # noqa: E731
    darknet = [conv(3, 8, act=leaky), nn.MaxPool2d(2), conv(8, 16, act=leaky), nn.MaxPool2d(2), conv(16, 16, act=leaky)]
    found = {
        "mobilenet_v1": MeanHead(nn.Sequential(*v1), 24),
        "mobilenet_v2": nn.Sequential(
            conv(3, 8, 3, 2), Inverted(8, 8, 1), Inverted(8, 12, 2), Inverted(12, 12, 1), conv(12, 32, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(32, 5),
        ),
        "resnet": nn.Sequential(
            conv(3, 8, 3, 2, act=nn.ReLU), Basic(8, 8, 1), Basic(8, 16, 2),
            nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 5),
        ),
        "resnet_v2": MeanHead(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), PreActivation(8), PreActivation(8)), 8),
        "darknet_classifier": nn.Sequential(
            *darknet, nn.Conv2d(16, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1)
        ),
        "yolo2": nn.Sequential(*darknet, nn.Conv2d(16, 2 * 8, 1)),
        "averaged": nn.Sequential(
            conv(3, 8, act=nn.PReLU), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.AvgPool2d(3, 2, 1),
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.Flatten(),
        ),
        "lenet": nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(6, 8, 3), nn.Flatten(),
            nn.Linear(8 * 14 * 14, 20, bias=False), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 5),
        ),
        "normalised_inside": InputNormalised(MeanHead(conv(3, 8, 3, 2), 8)),
    }  # fmt: skip
    torch.manual_seed(0)
    for network in found.values():
        _seen_numbers(network)
    return {name: network.eval() for name, network in found.items()}


def _seen_numbers(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(-0.5, 1.5)
            module.bias.data.normal_(0, 0.3)


def exported(
    network: nn.Module, opset: int = 13, x: Tensor | None = None, dynamo: bool = False, **options: Any
) -> bytes:
    """torch.onnx.export into memory."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the older exporter is deprecated, and still the one most files come from
        example = torch.zeros(1, 3, 32, 32) if x is None else x
        torch.onnx.export(network, (example,), file, opset_version=opset, dynamo=dynamo, verbose=False, **options)
    return file.getvalue()
