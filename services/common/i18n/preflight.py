"""What a person is told before a training: networks that fit, and the pre-flight check."""

from __future__ import annotations

__all__ = ["PREFLIGHT"]

PREFLIGHT: dict[str, tuple[str, str]] = {
    "networks.title": ("Networks for this chip, estimated before any training", "适合此芯片的网络（训练前估算）"),
    "networks.more": ("More networks", "更多网络"),
    "networks.recommended": ("recommended", "推荐"),
    "networks.refused": ("does not fit", "不适合"),
    "networks.file": ("file {size}", "文件 {size}"),
    "networks.of": (" of {budget}", "（共 {budget}）"),
    "networks.work": ("{millions} million multiply-adds", "{millions} 百万次乘加"),
    "networks.speed": ("{times} times the speed", "速度 {times} 倍"),
    "networks.best": (
        "Of those that fit with room to spare it should see the most.",
        "在有余量的网络中，它看得最细。",
    ),
    "networks.pretrained": (
        "Starts from ImageNet weights, which counts most while pictures are few.",
        "从 ImageNet 权重开始，图片少时最有用。",
    ),
    "networks.scratch": (
        "Starts from random weights: it needs many more pictures to become as good.",
        "从随机权重开始：需要更多图片才能达到同样效果。",
    ),
    "networks.tight": (
        "Fits only where little else needs memory, a minimum firmware say.",
        "只有在内存占用少的固件（如最小固件）上才放得下。",
    ),
    "networks.dense": (
        "The chip has no depthwise convolutions; they become dense ones, many times larger.",
        "芯片不支持深度卷积，要变成大很多倍的普通卷积。",
    ),
    "networks.slow": (
        "Much work for such a board: try its speed before you decide.",
        "对这种板子计算量较大：决定前请先试速度。",
    ),
}
