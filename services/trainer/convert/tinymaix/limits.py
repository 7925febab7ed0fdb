"""Sizes that a port of TinyMaix fixes when it is compiled. Source: include/tm_port.h.

TinyMaix checks only TM_MAX_KSIZE when it runs; a layer over one of the others writes past a static array. So the report
names each layer over a stock value, and the C header stops the compiler where the port's value is too small.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import UnsupportedModel
from services.trainer.convert.tinymaix.layers import ConvLayer, Kind, MdlType, Model
from services.trainer.convert.tinymaix.lower import Step
from services.trainer.convert.tinymaix.reader import MAX_BUFFER, MAX_MULTIPLY_ADDS

__all__ = ["STOCK", "Need", "check_size", "needs", "static_bytes"]

STOCK = {"TM_MAX_CSIZE": 1000, "TM_MAX_KSIZE": 5 * 5, "TM_MAX_KCSIZE": 3 * 3 * 256}


@dataclass(frozen=True)
class Need:
    """The smallest value of a macro that holds the model, and the index of the layer that asks for it."""

    value: int
    layer: int


def needs(model: Model) -> dict[str, Need]:
    """By macro; a macro that no layer uses is absent."""
    found: dict[str, Need] = {}
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, ConvLayer):
            continue
        channels, into, kernel_h, kernel_w = layer.weight.shape
        kernel = kernel_h * kernel_w
        sizes = {"TM_MAX_KSIZE": kernel}
        if kernel > 1:
            sizes["TM_MAX_KCSIZE"] = kernel * (channels if layer.head.kind is Kind.DWCONV else into)
        if model.mdl_type is MdlType.INT8:
            sizes["TM_MAX_CSIZE"] = channels
        for macro, value in sizes.items():
            if macro not in found or value > found[macro].value:
                found[macro] = Need(value, i)
    return found


def static_bytes(model: Model) -> int:
    """RAM of TinyMaix's static arrays with macros just large enough."""
    need = {macro: n.value for macro, n in needs(model).items()}
    floats = need.get("TM_MAX_CSIZE", 0) + need.get("TM_MAX_KSIZE", 0)
    return 4 * floats + model.unit * need.get("TM_MAX_KCSIZE", 0)


def check_size(steps: tuple[Step, ...], buffer: int) -> None:
    """Raises UnsupportedModel for a network that no microcontroller holds or that would run for minutes."""
    largest = max(steps, key=lambda step: step.in_dims[1] * step.in_dims[2] * (step.in_dims[3] + step.out_dims[3]))
    if buffer > MAX_BUFFER:
        raise UnsupportedModel(
            "MODEL_TOO_LARGE",
            f"layer {largest.layer}: the maps take {buffer} bytes; the largest microcontrollers have {MAX_BUFFER}.",
            fix="Use a smaller input or a narrower network; 96x96 with MobileNetV1 alpha 0.25 is usual.",
            layer=largest.layer,
        )
    work = [step.weight.size * step.out_dims[1] * step.out_dims[2] for step in steps]
    if sum(work) > MAX_MULTIPLY_ADDS // 2:
        busiest = steps[work.index(max(work))]
        raise UnsupportedModel(
            "MODEL_TOO_LARGE",
            f"layer {busiest.layer}: the network takes {sum(work)} multiplications for one image.",
            fix="Use a smaller input or a narrower network.",
            layer=busiest.layer,
        )
