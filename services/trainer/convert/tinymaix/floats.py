"""The fp32 model: the float network as it is, with the input normalisation folded in."""

from __future__ import annotations

import numpy as np

from services.trainer.convert.common import unsupported
from services.trainer.convert.contract import Images
from services.trainer.convert.tinymaix.fold import FPN11, InputCode, fold
from services.trainer.convert.tinymaix.layers import (
    Act,
    AddLayer,
    ConvLayer,
    FcLayer,
    FileLayer,
    Head,
    Kind,
    PlainLayer,
)
from services.trainer.convert.tinymaix.lower import Floats, Step
from services.trainer.convert.tinymaix.memory import Plan
from services.trainer.graph import Add, Conv, FullyConnected, Graph, Layer

__all__ = ["check_relu6", "float_layers"]

NONE = np.zeros(0, np.float32)
ACTS = {"none": Act.NONE, "relu": Act.RELU, "relu6": Act.RELU6}
KINDS = {
    "conv": Kind.CONV,
    "depthwise": Kind.DWCONV,
    "full": Kind.FC,
    "average": Kind.GAP,
    "add": Kind.ADD,
    "reshape": Kind.RESHAPE,
}
RELU6_TOP = 6.0


def float_layers(graph: Graph, steps: tuple[Step, ...], place: Plan, code: InputCode) -> list[FileLayer]:
    """File layers in order, the last one marked as the output."""
    layers: list[FileLayer] = []
    for i, step in enumerate(steps):
        offsets = [0 if source < 0 else place.offsets[source] for source in step.sources]
        kind = Kind.CONV if step.kind == "full" and step.act != "none" else KINDS[step.kind]
        head = Head(kind, i == len(steps) - 1, offsets[0], place.offsets[i], step.in_dims, step.out_dims)
        if i == 0 and code == FPN11:
            head = Head(**{**head.__dict__, "in_s": 1 / 128, "in_zp": 128})
        step = fold(steps, step, graph.input, code)
        stride, pad = (step.stride, step.stride), (step.padding,) * 4
        match kind:
            case Kind.CONV | Kind.DWCONV:
                layers.append(ConvLayer(head, stride, ACTS[step.act], pad, step.weight, step.bias, NONE))
            case Kind.FC:
                layers.append(FcLayer(head, step.weight[:, :, 0, 0], step.bias, NONE))
            case Kind.ADD:
                layers.append(AddLayer(head, offsets[1]))
            case _:
                layers.append(PlainLayer(head))
    return layers


def check_relu6(graph: Graph, images: Images) -> tuple[str, ...]:
    """Warnings for ReLU6 layers that stay below 6 on the images; raises UnsupportedModel for one that does not.

    TinyMaix runs ReLU6 as ReLU in float models. Needs torch.
    """
    highest: dict[str, float] = {}

    def watch(layer: Layer, output: Floats) -> None:
        if isinstance(layer, Conv | FullyConnected | Add) and layer.activation.kind == "relu6":
            highest[layer.name] = max(highest.get(layer.name, 0.0), float(output.max()))

    graph.run_float(images, watch)
    for name, value in highest.items():
        if value >= RELU6_TOP:
            raise unsupported(
                name,
                "ReLU6 cuts values at 6 here, and TinyMaix's float mode runs ReLU6 as ReLU",
                "Convert for mcu-tinymaix-int8, where ReLU6 is exact, or train with ReLU.",
                "RELU6_IN_FLOAT",
            )
    if not highest:
        return ()
    name = max(highest, key=lambda key: highest[key])
    return (
        f"{name} and other ReLU6 layers run as ReLU in TinyMaix's float mode; on the calibration images none reaches 6 "
        f"(highest {highest[name]:.2f}). Pictures unlike them can differ.",
    )
