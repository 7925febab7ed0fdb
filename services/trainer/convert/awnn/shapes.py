"""What the layers of a network for the V831 make of its input: the shape of every blob, and where each layer runs."""

from __future__ import annotations

from collections.abc import Sequence

from services.trainer.convert.ncnn_bin import kernel_of
from services.trainer.convert.ncnn_text import ParamLayer

__all__ = ["MAX_BLOB", "MAX_BLOBS_TOTAL", "NPU_TYPES", "Shape", "blob_shapes", "placement"]

Shape = tuple[int, int, int]  # (c, h, w); a vector is (c, 1, 1)

# The vendor's quantiser puts these on the NPU (-23328=1,1) and the rest on the CPU; seen from outside.
NPU_TYPES = {
    *("Convolution", "InnerProduct", "ReLU", "PReLU", "Pooling", "BatchNorm"),
    *("Split", "Concat", "Eltwise", "Quantize"),
}
MAX_SIDE = 4096
MAX_BLOB = 1 << 24  # values of one map
MAX_BLOBS_TOTAL = 1 << 28  # values of all maps together; ResNet-18 at 224 x 224 has 10 million


def placement(layer: ParamLayer) -> str:
    """ "NPU" or "CPU": as the layer says itself, or else where the vendor's tool would put its type."""
    marks = layer.numbers(28)
    if marks:
        return "NPU" if marks[0] else "CPU"
    is_sum = layer.type == "BinaryOp" and layer.integer(0) == 0
    return "NPU" if layer.type in NPU_TYPES or is_sum else "CPU"


def blob_shapes(layers: Sequence[ParamLayer]) -> dict[str, Shape]:
    """(c, h, w) of every blob. Raises UnsupportedModel, naming the layer, for one that cannot be followed."""
    shapes: dict[str, Shape] = {}
    total = 0
    for layer in layers:
        shape = _output(layer, [shapes[blob] for blob in layer.inputs])
        size = shape[0] * shape[1] * shape[2]
        total += size * len(layer.outputs)
        if not all(1 <= side <= 1 << 20 for side in shape) or size > MAX_BLOB or total > MAX_BLOBS_TOTAL:
            raise layer.wrong(f"its output {shape} is beyond what is read here", "Use a smaller input.")
        shapes.update(dict.fromkeys(layer.outputs, shape))
    return shapes


def _output(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    wanted = {"Input": 0, "Eltwise": 2, "BinaryOp": 2}.get(layer.type, 1)
    if len(inputs) != wanted or not layer.outputs or (layer.type != "Split" and len(layer.outputs) != 1):
        raise layer.wrong(f"{len(inputs)} inputs and {len(layer.outputs)} outputs")
    match layer.type:
        case "Input":
            return _input(layer)
        case "Convolution":
            return _convolution(layer, inputs[0])
        case "Pooling":
            return _pooling(layer, inputs[0])
        case "InnerProduct":
            return layer.integer(0), 1, 1
        case "Eltwise" | "BinaryOp":
            return _sum(layer, inputs)
        case "ReLU" | "Split" | "Quantize":
            return inputs[0]
    raise layer.wrong("this type cannot be quantised here", ADVICE.get(layer.type, DEFAULT_ADVICE))


DEFAULT_ADVICE = "Use convolutions, ReLU, max and global average pooling, sums and fully connected layers."
ADVICE = {
    "ConvolutionDepthWise": "The NPU has none; convert the network itself, which writes a dense convolution.",
    "Clip": "Use ReLU, or convert the network itself, which turns ReLU6 into a ReLU that saturates at 6.",
    "PReLU": "Its stored form is not known; train with ReLU.",
    "BatchNorm": "Fold it into the convolution before it.",
    "Softmax": "Leave it out; the script on the board takes it.",
    "Swish": "The vendor's tool does not know it; train with ReLU.",
}


def _input(layer: ParamLayer) -> Shape:
    shape = layer.integer(2), layer.integer(1), layer.integer(0)
    if not all(1 <= side <= MAX_SIDE for side in shape):
        raise layer.wrong(f"an input of w, h, c = {shape[::-1]}", "Append ` 0=w 1=h 2=c` to the Input line.")
    return shape


def _convolution(layer: ParamLayer, shape: Shape) -> Shape:
    kernel = kernel_of(layer)
    stride = layer.integer(13, layer.integer(3, 1)), layer.integer(3, 1)
    left, top = layer.integer(4), layer.integer(14, layer.integer(4))
    padding = top + layer.integer(16, top), left + layer.integer(15, left)
    plain = layer.integer(2, 1) == 1 and layer.integer(7, 1) == 1 and layer.integer(9) == 0 and layer.integer(18) == 0
    if not plain:
        raise layer.wrong("dilation, groups, a pad value or a fused activation", "Use a plain convolution.")
    same = padding == (2 * left, 2 * left) and top == left and stride[0] == stride[1] and kernel[0] == kernel[1]
    if not same or not 1 <= kernel[0] <= 11 or not 1 <= stride[0] <= 8 or not 0 <= left < kernel[0]:
        raise layer.wrong(f"kernel {kernel}, stride {stride}, padding {left}", "Use square ones, a kernel up to 11.")
    if layer.integer(6) != layer.integer(0) * shape[0] * kernel[0] * kernel[1]:
        raise layer.wrong(f"{layer.integer(6)} weights do not fit its input {shape}")
    return layer.integer(0), *((s + 2 * left - kernel[0]) // stride[0] + 1 for s in shape[1:])  # type: ignore[return-value]


def _pooling(layer: ParamLayer, shape: Shape) -> Shape:
    if layer.integer(0) not in (0, 1) or layer.integer(4) not in (0, 1):
        raise layer.wrong("neither maximum nor mean")
    if layer.integer(4):
        return shape[0], 1, 1
    (kernel, width), stride, mode = kernel_of(layer), layer.integer(2, 1), layer.integer(5)
    if layer.integer(0) or layer.integer(3) or kernel != width or layer.integer(12, stride) != stride:
        raise layer.wrong(
            "a mean over windows, padding or windows that are not square", "Use max pooling without padding."
        )
    if not 1 <= kernel <= 4 or not 1 <= stride <= 4 or mode not in (0, 1) or min(shape[1:]) < kernel:
        raise layer.wrong(f"windows of {kernel} every {stride} on {shape}", "Use windows of 2 every 2.")
    if mode == 0 and any((s - kernel) % stride for s in shape[1:]):
        raise layer.wrong(
            f"{shape} is no whole number of windows", "Add `5=1`, which drops the rest, or use even sizes."
        )
    return shape[0], *((s - kernel) // stride + 1 for s in shape[1:])  # type: ignore[return-value]


def _sum(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    if layer.integer(0) != (1 if layer.type == "Eltwise" else 0) or -23301 in layer.params:
        raise layer.wrong("not a plain sum", "The NPU adds maps; use no other operation between them.")
    if inputs[0] != inputs[1]:
        raise layer.wrong(f"a sum of {inputs[0]} and {inputs[1]}")
    return inputs[0]
