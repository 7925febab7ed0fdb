from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.onnx_file import wire
from services.trainer.convert.onnx_file.read import from_onnx
from services.trainer.convert.onnx_file.write import to_onnx
from tests.trainer.convert.networks import small
from tests.trainer.convert.onnx_file.test_write import residual
from tests.trainer.convert.onnx_file.torch_networks import exported


def one_node(
    operator: str, shape: tuple[Any, ...] = (1, 3, 8, 8), weights: list[Any] | None = None, **attributes: Any
) -> bytes:
    """A file of one node "n" that reads the image and `weights`."""
    values = [numpy_helper.from_array(np.asarray(w), f"w{i}") for i, w in enumerate(weights or [])]
    node = helper.make_node(operator, ["x", *(v.name for v in values)], ["y"], name="n", **attributes)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        [node], "g", [image], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], values
    )
    data: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()
    return data


KERNEL = np.ones((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (one_node("Sigmoid"), r"node n \(Sigmoid\): .* Train with ReLU"),
        (one_node("Resize"), r"node n \(Resize\): .* only makes its maps smaller"),
        (one_node("Transpose"), r"node n \(Transpose\): .* Cut the network behind its last convolution"),
        (one_node("QuantizeLinear", weights=[np.float32(1)]), "the file is quantised already"),
        (one_node("Mystery", domain="com.maker"), "an operator of the domain 'com.maker'"),
        (one_node("Conv", weights=[KERNEL], pads=[0, 0, 1, 1]), r"pads \[0, 0, 1, 1\] .* TensorFlow's SAME"),
        (one_node("Conv", weights=[KERNEL], auto_pad="SAME_UPPER", strides=[2, 2]), r"pads \[0, 0, 1, 1\]"),
        (one_node("Conv", weights=[KERNEL], dilations=[2, 2]), "dilated"),
        (one_node("Conv", weights=[KERNEL], strides=[2, 1]), r"strides \[2, 1\]"),
        (one_node("Conv", weights=[KERNEL[:, :, :1]]), r"weights \(4, 3, 1, 3\); kernels must be square"),
        (one_node("Conv", (1, 4, 8, 8), [KERNEL[:, :2]], group=2), "2 groups from 4 to 4 channels"),
        (one_node("Conv", (1, 5, 8, 8), [KERNEL]), r"weights are \(4, 3, 3, 3\), not \(4, 5, 3, 3\)"),
        (one_node("Conv", weights=[KERNEL.astype(np.uint8)]), "its weights are uint8"),
        (one_node("Conv", weights=[KERNEL * np.nan]), "layer n: weights or biases hold NaN or infinity"),
        (one_node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), "a padded maximum"),
        (one_node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), "ceil_mode"),
        (one_node("LeakyRelu", alpha=-1.0), "slope -1"),
        (one_node("Clip", weights=[np.float32(-1), np.float32(1)]), "limits -1 and 1"),
        (one_node("Gemm", weights=[np.ones((192, 2), np.float32)]), "Flatten before the Linear layer"),
        (one_node("Softmax", axis=3), "a softmax over axis 3"),
        (one_node("ReduceMean", axes=[1]), r"a mean over the axes \[1\]"),
        (one_node("Conv", ("n", 3, "h", "w"), [KERNEL]), "channels, height or width are open"),
        (one_node("Conv", (1, 64, 64, 3), [KERNEL]), r"is no \(channels, height, width\)"),
        (one_node("Conv", (1, 3, 8), [KERNEL]), "3 dimensions"),
        (one_node("Conv", (1, 3, 2, 2), [KERNEL]), "layer n: the input is"),
        (one_node("Flatten"), "the output is not that of the last layer"),
    ],
)  # fmt: skip
def test_what_the_graph_cannot_say_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        from_onnx(data)
    assert caught.value.fix and caught.value.reason


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU()), "(Sigmoid)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), "GroupNorm"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LogSoftmax(1)), "LogSoftmax"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2)), "Resize"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.PixelShuffle(2)), "DepthToSpace"),
    ],
)
def test_exported_modules_that_no_chip_runs_are_refused(module: nn.Module, says: str) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        from_onnx(exported(module.eval()))
    assert says in str(caught.value) or "Norm" in says


def test_a_second_input_or_output_is_refused_with_the_names() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + 1, x * 2

    with pytest.raises(UnsupportedModel, match=r"2 outputs \(left, right\)"):
        from_onnx(exported(Two(), output_names=["left", "right"]))


def changed(**fields: Any) -> bytes:
    model = onnx.load_from_string(to_onnx(small()))
    tensor = model.graph.initializer[0]
    for name, value in fields.items():
        if name == "dims":
            tensor.dims[:] = value
        elif name == "opset":
            model.opset_import[0].version = value
        else:
            setattr(tensor, name, value)
    return model.SerializeToString()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        (
            {"data_location": TensorProto.EXTERNAL},
            "ONNX_EXTERNAL_DATA",
            "tensor stem/weight: its values lie in another",
        ),
        ({"data_type": TensorProto.BFLOAT16}, "ONNX_TENSOR_TYPE", "data type BFLOAT16"),
        ({"data_type": 99}, "ONNX_TENSOR_TYPE", "data type 99"),
        ({"dims": [1 << 40, 1 << 40]}, "ONNX_TENSOR_SHAPE", "with 432 values"),
        ({"dims": [-1, -432]}, "ONNX_TENSOR_SHAPE", "with 432 values"),
        ({"raw_data": b"abc"}, "ONNX_TENSOR_SHAPE", "with 3 bytes"),
        ({"opset": 6}, "ONNX_OPSET", "opset"),
        ({"opset": 1000}, "ONNX_OPSET", "opset"),
    ],
)
def test_damaged_weights_are_refused(fields: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        from_onnx(changed(**fields))
    assert caught.value.reason == reason


@pytest.mark.parametrize("length", [0, 1, 9, 100, 5000])
def test_a_cut_off_file_is_refused_with_the_byte(length: int) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        from_onnx(to_onnx(small())[:length])
    assert caught.value.reason == "ONNX_MALFORMED"
    assert int(caught.value.metadata["offset"]) <= length


def test_files_that_would_take_much_memory_are_refused_unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(number: int, inner: bytes) -> bytes:
        return bytes([number << 3 | 2]) + wire_length(len(inner)) + inner

    nodes = nested(7, bytes([1 << 3 | 2, 0]) * (wire.MAX_FIELDS + 1))
    texts = nested(7, nested(1, nested(6, bytes(wire.MAX_OTHER_BYTES + 1))))
    deep = b""
    for _ in range(10):
        deep = nested(1, nested(5, nested(6, deep)))
    for data, says in ((nodes, "more than 400000 fields"), (texts, "more than"), (nested(7, deep), "nested too deep")):
        with pytest.raises(UnsupportedModel, match=says):
            from_onnx(data)
    monkeypatch.setattr(wire, "MAX_BYTES", 100)
    with pytest.raises(UnsupportedModel, match="bytes, more than 100"):
        from_onnx(to_onnx(small()))


def wire_length(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def test_arguments_that_do_not_fit_the_file_are_refused() -> None:
    with pytest.raises(InvalidInput, match="4 channels; 2 labels"):
        from_onnx(to_onnx(small()), labels=["a", "b"])
    with pytest.raises(InvalidInput, match="16 channels; 2 labels and 2 anchors make 14"):
        from_onnx(to_onnx(residual()), labels=["a", "b"], anchors=[(1, 1), (2, 2)])
    with pytest.raises(InvalidInput, match="2 means"):
        from_onnx(to_onnx(small()), mean=[0.5, 0.5])
    with pytest.raises(InvalidInput, match="input is uint8"):
        from_onnx(to_onnx(small(), pixels="uint8"), mean=[0.5])
