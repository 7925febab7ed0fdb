"""The KPU part of a kmodel V5 as our kmodel V3 objects: nncase's file run by our arithmetic.

Both formats hold the same registers, weights, normalisation and tables (nncase v1.9.0, modules/k210, runtime_types.h).
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace

import numpy as np

from services.trainer.convert.kmodel_v3.activation import SEGMENTS, ActivationTable
from services.trainer.convert.kmodel_v3.cpu_bytes import Dequantize
from services.trainer.convert.kmodel_v3.layers import MAIN_MEM_OUT, KModel, KpuConv, Output
from services.trainer.convert.kmodel_v3.registers import ConvShape, Quantisation, decode
from services.trainer.convert.kmodel_v5.reader import KModelV5, KpuStep, Transfer, read

DEQUANTIZE = re.compile(rb"\x05(.{4})\x05(.{4})\x5e", re.DOTALL)  # stackvm: two LDC_R4, then a TENSOR instruction


def translate(model: KModelV5) -> KModel:
    """A model with one run of the KPU; its output are the bytes of the last map, as floats 0 to 255."""
    (steps,) = model.kpu_steps()
    first, *middle, last = steps
    assert isinstance(first, Transfer) and first.up and isinstance(last, Transfer) and not last.up
    convs = [conv(step) for step in middle if isinstance(step, KpuStep)]
    assert len(convs) == len(middle) and convs[0].source_row == first.row and convs[-1].target_row == last.row
    count = convs[-1].output_bytes
    floats = -(-count // 8) * 8
    layers = [*convs[:-1], replace(convs[-1], flags=MAIN_MEM_OUT, output=0), Dequantize(1, 0, floats, count, 1.0, 0.0)]
    return KModel(tuple(layers), (Output(floats, 4 * count),), floats + 4 * count)


def conv(step: KpuStep) -> KpuConv:
    fields = decode(step.registers)
    shape = ConvShape(
        fields["i_ch_num"] + 1,
        fields["o_ch_num"] + 1,
        fields["i_col_high"] + 1,
        fields["i_row_wid"] + 1,
        2 * fields["kernel_type"] + 1,
        bool(fields["depth_wise_layer"]),
        fields["pool_type"],
    )
    kernel = (shape.kernel, shape.kernel)
    weights = (shape.out_channels, *kernel) if shape.depthwise else (shape.out_channels, shape.in_channels, *kernel)
    norm = np.frombuffer(step.normalisation, "<u8", shape.out_channels)
    names = ("pad_value", "arg_x", "shr_x", "arg_w", "shr_w", "arg_add")
    return KpuConv(
        shape,
        fields["image_src_addr"],
        fields["image_dst_addr"],
        Quantisation(**{name: fields[name] for name in names}),
        np.frombuffer(step.weights, np.uint8, shape.weights).reshape(weights),
        norm_mul=(norm << np.uint64(40)).view(np.int64) >> 40,
        norm_add=(norm << np.uint64(8)).view(np.int64) >> 32,
        norm_shift=(norm >> np.uint64(56) & np.uint64(15)).astype(np.int64),
        activation=table(step.activation),
    )


def table(data: bytes) -> ActivationTable:
    """nncase leaves the four reserved bits of each segment as it found them in memory; the chip does not read them."""
    words = np.frombuffer(data, "<u8", SEGMENTS) & np.uint64((1 << 60) - 1)
    return ActivationTable.from_bytes(words.tobytes() + data[8 * SEGMENTS :])


def with_constants_of(ours: KModel, file: bytes) -> bytes:
    """The kmodel V5 `file` with all that our converter decided in place of nncase's numbers, layer by layer."""
    (module,) = (module for module in read(file).modules if module.type == "k210")
    rdata, text = bytearray(module.rdata), bytearray(module.functions[0].text)
    steps = [step for step in read(file).kpu_steps()[0] if isinstance(step, KpuStep)]
    layers = [layer for layer in ours.layers if isinstance(layer, KpuConv)]
    at = 0
    for step, layer in zip(steps, layers, strict=True):
        theirs = conv(step)
        assert theirs.shape == layer.shape
        norm = layer.norm_mul & 0xFFFFFF | (layer.norm_add & 0xFFFFFFFF) << 24 | layer.norm_shift << 56
        parts = (layer.weights.tobytes(), norm.astype("<u8").tobytes(), layer.activation.to_bytes())
        for old, new in zip((step.weights, step.normalisation, step.activation), parts, strict=True):
            at = module.rdata.index(old, at)  # they lie in this order
            rdata[at : at + len(new)] = new
        old_registers, new_registers = step.registers, replace(theirs, quant=layer.quant).registers()
        text[:] = text.replace(struct.pack("<12Q", *old_registers), struct.pack("<12Q", *new_registers))
    assert file.count(module.rdata) == 1 and file.count(module.functions[0].text) == 1
    return file.replace(module.rdata, bytes(rdata)).replace(module.functions[0].text, bytes(text))


def last_map(model: KModelV5, floats: np.ndarray) -> np.ndarray:
    """The bytes behind nncase's outputs, which are byte*scale + bias: the two numbers stand in the CPU's program."""
    (program,) = (module for module in model.modules if module.type == "stackvm")
    ((scale_bytes, bias_bytes),) = DEQUANTIZE.findall(program.functions[0].text)
    (scale,), (bias,) = struct.unpack("<f", scale_bytes), struct.unpack("<f", bias_bytes)
    found = np.rint((floats - np.float64(bias)) / scale)
    np.testing.assert_allclose(found * scale + bias, floats, rtol=0, atol=scale / 100)
    assert found.min() >= 0 and found.max() <= 255
    return found
