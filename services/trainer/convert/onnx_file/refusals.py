"""What a person can do about an operator that the graph cannot say."""

from __future__ import annotations

from onnx import NodeProto

from services.common.errors import UnsupportedModel
from services.trainer.convert.onnx_file.errors import refused_node

__all__ = ["unknown_operator"]

_ACTIVATION = "Train with ReLU, ReLU6 or LeakyReLU: that is what the chips compute."
_CUT = "Cut the network behind its last convolution: the board's script does the rest."
_LOGITS = "Export the logits; the board's script takes the softmax or the maximum."
_FIXES: dict[str, str] = {
    **dict.fromkeys(
        (
            "Sigmoid",
            "HardSigmoid",
            "HardSwish",
            "Tanh",
            "Elu",
            "Selu",
            "Gelu",
            "Erf",
            "Softplus",
            "Mish",
            "Exp",
            "Swish",
        ),
        _ACTIVATION,
    ),
    **dict.fromkeys(("Transpose", "Split", "Slice", "Gather", "Concat", "NonMaxSuppression", "DepthToSpace"), _CUT),
    **dict.fromkeys(("LogSoftmax", "ArgMax", "TopK", "Hardmax"), _LOGITS),
    **dict.fromkeys(("Resize", "Upsample", "ConvTranspose"), "Use a network that only makes its maps smaller."),
    **dict.fromkeys(
        ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "LpNormalization", "LRN"),
        "Use batch normalisation, which folds into the weights.",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "Export for one fixed input size, so that nothing is decided at run time."),
}
_ELSE = (
    "Use convolutions (1 group or depthwise), batch normalisation, ReLU/ReLU6/LeakyReLU, additions, pooling, "
    "flatten and fully connected layers."
)


def unknown_operator(node: NodeProto) -> UnsupportedModel:
    operator = node.op_type
    if node.domain not in ("", "ai.onnx"):
        return refused_node(node, f"an operator of the domain {node.domain[:40]!r}", "Export standard operators only.")
    if "QuantizeLinear" in operator or operator.startswith("QLinear") or operator.endswith("Integer"):
        fix = "Give the float32 file from before its quantisation: every target quantises by itself."
        return refused_node(node, "the file is quantised already", fix, "ONNX_QUANTISED")
    return refused_node(node, "the converters do not know this operator here", _FIXES.get(operator, _ELSE))
