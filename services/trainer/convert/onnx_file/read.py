"""An ONNX file as a graph: what PyTorch's exporters write for classifiers and YOLOv2 heads.

    bytes ─► frames counted (wire.py) ─► protobuf ─► nodes that the output needs ─► layers (builder.py) ─► Graph

Batch normalisation and constant arithmetic are folded into the weights, normalisation at the input becomes the graph's
mean and std. Anything the graph cannot say is refused with the node, its operator and what to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.common import check_whole
from services.trainer.convert.onnx_file.builder import Builder, Feature
from services.trainer.convert.onnx_file.constants import CONSTANT_OPERATORS, FLOAT_TYPES, shape_of
from services.trainer.convert.onnx_file.errors import MAX_NAME, not_a_model, refused
from services.trainer.convert.onnx_file.metadata import KEY, Metadata
from services.trainer.convert.onnx_file.normalisation import input_spec
from services.trainer.convert.onnx_file.operators import FEATURE_OPERATORS
from services.trainer.convert.onnx_file.refusals import unknown_operator
from services.trainer.convert.onnx_file.scope import Call, Scope
from services.trainer.convert.onnx_file.tensors import Values
from services.trainer.convert.onnx_file.views import VIEW_OPERATORS
from services.trainer.convert.onnx_file.wire import check_frames
from services.trainer.graph import Graph, Shape

__all__ = ["from_onnx"]

OPSETS = range(7, 27)  # before 7, BatchNormalization and broadcasting meant something else
MAX_SIDE = 4096


def from_onnx(
    data: bytes,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    anchors: Sequence[tuple[float, float]] | None = None,
    name: str | None = None,
) -> Graph:
    """The network in `data`, a float ONNX file with one image input (n, c, h, w) and one output.

    `mean` and `std`, one for all channels or one each, say what the file's input eats: (u8/255 - mean)/std. Without
    them: what our own file says, 0 to 255 where the input is uint8, else u8/255. Normalisation inside the file is
    added to that. `labels`, `anchors`, `name`: over those in the file. Raises UnsupportedModel, naming node and
    operator or the byte, for a file this cannot read; InvalidInput for arguments that do not fit it.
    """
    return _imported(_parsed(data), mean, std, labels, anchors, name)


def _parsed(data: bytes) -> ModelProto:
    check_frames(data)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as problem:
        raise not_a_model(f"it cannot be parsed ({problem})") from problem
    if any(isinstance(text, bytes) for text in _texts(model)):
        raise not_a_model("a name is no UTF-8 text")
    if not model.graph.node:
        raise not_a_model("there is no network in it")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise refused("ONNX_FUNCTIONS", "local functions, training graphs or sparse weights", "Inline the model first.")
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise refused(
            "ONNX_OPSET", f"opset {versions} is not one of {OPSETS.start} to {OPSETS.stop - 1}", "Export with opset 13."
        )
    return model


def _texts(model: ModelProto) -> Iterator[object]:
    """Every text that is used here; protobuf gives bytes for one that is not UTF-8."""
    graph = model.graph
    yield graph.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (value.name for value in (*graph.input, *graph.output))
    yield from (text for entry in model.metadata_props for text in (entry.key, entry.value))
    yield from (entry.domain for entry in model.opset_import)


def _imported(
    model: ModelProto,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    labels: Sequence[str] | None,
    anchors: Sequence[tuple[float, float]] | None,
    name: str | None,
) -> Graph:
    kept = next((Metadata.from_json(entry.value) for entry in model.metadata_props if entry.key == KEY), None)
    image = _image(model.graph)
    batch, shape = _image_shape(image)
    builder = Builder(shape)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    with np.errstate(all="ignore"):  # what is not finite is refused with the layer's name below
        output = _run(model.graph, image.name, batch, opset, builder)
    if output.index != len(builder.layers) - 1 or output.index < 0 or output.padding:
        raise refused("ONNX_OUTPUT", "the output is not that of the last layer", "Export the network up to its logits.")
    network = Graph(
        name or (kept.name if kept else "") or model.graph.name[:MAX_NAME] or "network",
        input_spec(image, shape, builder.normalisation(), kept, mean, std),
        tuple(builder.layers),
        tuple(labels) if labels is not None else kept.labels if kept else (),
        tuple((float(w), float(h)) for w, h in anchors) if anchors is not None else kept.anchors if kept else (),
        kept.head if kept else "",
    )
    check_whole(network)
    _check_outputs(network)
    return network


def _image(graph: GraphProto) -> ValueInfoProto:
    """The one input that is no weight (before IR version 4 weights are inputs too)."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    for what, values in (("inputs", inputs), ("outputs", list(graph.output))):
        if len(values) != 1:
            names = ", ".join(value.name[:MAX_NAME] for value in values[:8])
            raise refused(
                f"ONNX_{what.upper()}",
                f"{len(values)} {what} ({names}); a network for a board has one",
                "Export the network with one image in and one map or the logits out.",
            )
    return inputs[0]


def _image_shape(image: ValueInfoProto) -> tuple[int, Shape]:
    """Batch and (c, h, w)."""
    kind, dims = image.type.tensor_type.elem_type, image.type.tensor_type.shape.dim
    if kind not in (*FLOAT_TYPES, TensorProto.UINT8) or len(dims) != 4:
        raise refused(
            "ONNX_INPUTS",
            f"input {image.name[:MAX_NAME]}: {len(dims)} dimensions of type {kind}",
            "Use one image input, float32 or uint8 (n, c, h, w).",
        )
    batch, *shape = (dim.dim_value for dim in dims)
    if any(size < 1 for size in shape):
        raise refused(
            "ONNX_DYNAMIC_SHAPE",
            f"input {image.name[:MAX_NAME]}: channels, height or width are open",
            "Export with fixed sizes; only the batch may be dynamic.",
        )
    if max(shape) > MAX_SIDE or (shape[2] <= 4 < shape[0]):
        raise refused(
            "ONNX_INPUTS",
            f"input {image.name[:MAX_NAME]}: {tuple(shape)} is no (channels, height, width)",
            "Export channels first (NCHW), with sides of at most 4096.",
        )
    return max(batch, 1), tuple(shape)


def _run(graph: GraphProto, image: str, batch: int, opset: int, builder: Builder) -> Feature:
    """Takes every node that the output needs, in order; the feature of the output."""
    nodes = _needed(graph)
    scope = Scope(graph, nodes, batch, opset, builder)
    scope.put(image, Feature(-1, builder.image, scope.used_once(image)))
    for node in nodes:
        if node.domain not in ("", "ai.onnx"):
            raise unknown_operator(node)
        scope.put(node.output[0], _value(Call(node, scope)))
    output = scope.get(graph.output[0].name)
    if not isinstance(output, Feature):
        raise refused("ONNX_OUTPUT", "the output does not depend on the image", "Export the network again.")
    return output


def _needed(graph: GraphProto) -> list[NodeProto]:
    wanted = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if node.output and wanted.intersection(node.output):
            if node.output[0] not in wanted or not node.output[0]:
                raise unknown_operator(node)
            nodes.append(node)
            wanted.update(node.input)
    return nodes[::-1]


def _value(call: Call) -> Values | Feature:
    operator = call.node.op_type
    features = [value for value in call.inputs if isinstance(value, Feature)]
    if operator == "Shape" and features:
        return shape_of(call, features[0])
    if features and operator in VIEW_OPERATORS:
        return VIEW_OPERATORS[operator](call)
    if features and operator in FEATURE_OPERATORS:
        return FEATURE_OPERATORS[operator](call)
    if features or operator not in CONSTANT_OPERATORS:
        raise unknown_operator(call.node)
    try:
        result = CONSTANT_OPERATORS[operator](call)
    except (ValueError, IndexError, TypeError, OverflowError) as problem:
        raise call.refuse(f"its constants do not fit ({problem})"[:300], "Export the file again.") from problem
    call.builder.spend(result.nbytes)
    return result


def _check_outputs(network: Graph) -> None:
    """Labels and anchors must fit what comes out."""
    shape, labels, anchors = network.shapes()[-1], network.labels, network.anchors
    wanted = (len(anchors) or 1) * (5 + len(labels)) if anchors or network.head else len(labels)
    if (labels or anchors) and shape[0] != wanted:
        raise InvalidInput(
            "MODEL_LABELS",
            f"the network puts out {shape[0]} channels; {len(labels)} labels and {len(anchors)} anchors make {wanted}.",
            fix="Give the labels and anchors that the network was trained with.",
        )
    if anchors and len(shape) != 3:
        raise UnsupportedModel(
            "ONNX_OUTPUT", f"ONNX: anchors, but the output {shape} is no map.", fix="Export up to the last convolution."
        )
