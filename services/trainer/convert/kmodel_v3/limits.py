"""What the KPU cannot do, said with the layer's name and the way out.

Sources: nncase v1.9.0 modules/k210 kpu_utils.h (channels, sizes), kendryte-standalone-sdk kpu.h (register widths), and
MaixPy's runtime, which copies the last map to main memory one byte short when its width is a multiple of 64.
"""

from __future__ import annotations

from services.trainer.convert.common import unsupported
from services.trainer.convert.kmodel_v3.registers import KPU_ROWS, ConvShape, rows

__all__ = ["check_stage", "fits_kpu"]

MAX_CHANNELS = 1024
MIN_SIZE, MAX_HEIGHT, MAX_WIDTH = 4, 256, 512
MAX_LOADS = 64  # load_time has six bits
MAX_DMA_PIXELS = 65536  # channel_byte_num has sixteen bits


def check_stage(layer: str, shape: ConvShape, to_main_memory: bool) -> None:
    """Raises UnsupportedModel if the convolution breaks a limit of the KPU or of the copy to main memory."""
    for reason, what, fix in _broken(shape, to_main_memory):
        raise unsupported(layer, what, fix, reason)


def fits_kpu(shape: ConvShape, to_main_memory: bool = True) -> str:
    """Why a convolution of this shape cannot run on the KPU; empty if it can."""
    return next((what for _, what, _ in _broken(shape, to_main_memory)), "")


def _broken(shape: ConvShape, to_main_memory: bool) -> list[tuple[str, str, str]]:
    """(reason, what, fix) of every limit broken."""
    height, width = shape.out_height, shape.out_width
    used = rows(shape.in_channels, shape.height, shape.width) + rows(shape.out_channels, height, width)
    channels = max(shape.in_channels, shape.out_channels)
    checks = [
        (
            channels > MAX_CHANNELS,
            "TOO_MANY_CHANNELS",
            f"{channels} channels; the KPU has {MAX_CHANNELS}",
            "Use a narrower network (alpha).",
        ),
        (
            shape.height > MAX_HEIGHT or shape.width > MAX_WIDTH,
            "MAP_TOO_LARGE",
            f"a map of {shape.height}x{shape.width}; the KPU takes up to {MAX_HEIGHT} high and {MAX_WIDTH} wide",
            "Use a smaller input.",
        ),
        (
            min(shape.height, shape.width, height, width) < MIN_SIZE,
            "MAP_TOO_SMALL",
            f"a map of {height}x{width} from {shape.height}x{shape.width}; the KPU needs at least 4x4",
            "Use a larger input (128x128 or more for MobileNetV1) or fewer strides.",
        ),
        (
            shape.coefficients == 0 or shape.load_time > MAX_LOADS,
            "TOO_MANY_WEIGHTS",
            f"its weights need {shape.load_time} loads of the 30 KiB buffer; the KPU does {MAX_LOADS}",
            "Use fewer channels in this layer, or a 1x1 in place of a 3x3 kernel.",
        ),
        (
            used > KPU_ROWS,
            "KPU_RAM",
            f"input and output take {used} of the {KPU_ROWS} rows of KPU RAM",
            "Use a smaller input or fewer channels in the first layers.",
        ),
        (
            to_main_memory and height * width > MAX_DMA_PIXELS,
            "DMA_TOO_LARGE",
            f"an output of {height}x{width} cannot be copied to main memory ({MAX_DMA_PIXELS} pixels a channel)",
            "End the network with a smaller map.",
        ),
        (
            to_main_memory and width % 64 == 0,
            "DMA_WIDTH",
            f"an output {width} wide: MaixPy copies one byte short when the width is a multiple of 64",
            "Choose an input size whose last map has another width.",
        ),
    ]
    return [(reason, what, fix) for broken, reason, what, fix in checks if broken]
