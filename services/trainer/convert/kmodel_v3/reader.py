"""Reads a kmodel V3 file and refuses every file the chip could not run as it stands.

The reader trusts nothing: all offsets must lie inside their own body, so that the memory it takes is bounded by the
file's size, and the registers of a convolution must be those that follow from its shape and quantisation.
"""

from __future__ import annotations

import struct

import numpy as np

from services.trainer.convert.kmodel_v3.activation import TABLE_BYTES, ActivationTable
from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer
from services.trainer.convert.kmodel_v3.cpu_layers import CPU_LAYERS
from services.trainer.convert.kmodel_v3.errors import malformed, truncated
from services.trainer.convert.kmodel_v3.layers import K210_CONV, KModel, KpuConv, Layer, Output
from services.trainer.convert.kmodel_v3.registers import (
    POOL_FACTOR,
    WORDS,
    ConvShape,
    Quantisation,
    conv_registers,
    decode,
)
from services.trainer.convert.kmodel_v3.writer import ARCH_K210, CONV_HEAD, HEADER, PAIR, VERSION

__all__ = ["MAX_LAYERS", "MAX_MAIN_MEMORY", "read"]

MAX_LAYERS = 1024  # real files have up to 40; the bound keeps a hostile file from keeping the simulator busy
MAX_MAIN_MEMORY = 6 << 20  # the K210 has 6 MiB of general memory


def read(data: bytes) -> KModel:
    """The model in `data`. Raises UnsupportedModel with the byte offset of what is wrong."""
    counts = _read_header(data)
    outputs, bodies = _read_tables(data, *counts)
    main_memory = counts[2]
    layers: list[Layer] = []
    for start, kind, size in bodies:
        if kind == K210_CONV:
            layers.append(_read_conv(data, start, size))
        else:
            layers.append(_read_cpu(data, start, kind, size))
    lowest_row: int = HEADER.unpack_from(data)[4]
    end = bodies[-1][0] + bodies[-1][2]
    return KModel(
        tuple(layers), outputs, main_memory, lowest_row, bytes(data[end:]), tuple(start for start, _, _ in bodies)
    )


def _read_header(data: bytes) -> tuple[int, int, int]:
    """Number of layers, number of outputs, main memory."""
    if len(data) < HEADER.size:
        raise truncated(0, HEADER.size, "the header")
    version, flags, arch, layer_count, _, main_memory, output_count = HEADER.unpack_from(data)
    if version != VERSION:
        nncase = "kmodel V4 or V5" if data[:4] in (b"LDMK", b"KMDL") else f"version {version}"
        raise malformed(0, f"this is {nncase}, not kmodel V3", fix="Convert for the target k210-kmodel-v3.")
    if arch != ARCH_K210:
        raise malformed(8, f"architecture {arch} is not the K210 (0)")
    if flags & 1 == 0:
        raise malformed(4, "16-bit weights are not supported", fix="Convert the network again with 8-bit weights.")
    if flags != 1:
        raise malformed(4, f"unknown flags {flags:#x}")
    if not 1 <= layer_count <= MAX_LAYERS:
        raise malformed(12, f"{layer_count} layers; a file has 1 to {MAX_LAYERS}")
    if main_memory > MAX_MAIN_MEMORY:
        raise malformed(20, f"{main_memory} bytes of main memory; the chip has {MAX_MAIN_MEMORY}")
    return layer_count, output_count, main_memory


def _read_tables(
    data: bytes, layer_count: int, output_count: int, main_memory: int
) -> tuple[tuple[Output, ...], list[tuple[int, int, int]]]:
    """Outputs, and (offset, type, size) of every body."""
    table = HEADER.size
    if table + PAIR.size * (output_count + layer_count) > len(data):
        raise truncated(table, PAIR.size * (output_count + layer_count), "the tables of outputs and layers")
    outputs = []
    for i in range(output_count):
        address, size = PAIR.unpack_from(data, table + PAIR.size * i)
        if address % 4 or size % 4 or address + size > main_memory:
            raise malformed(table + PAIR.size * i, f"output {i} ({size} bytes at {address}) is not in main memory")
        outputs.append(Output(address, size))
    table += PAIR.size * output_count
    start = table + PAIR.size * layer_count
    bodies = []
    for i in range(layer_count):
        kind, size = PAIR.unpack_from(data, table + PAIR.size * i)
        if start + size > len(data):
            raise truncated(start, size, f"the body of layer {i}")
        if (start + size) % 8:
            raise malformed(table + PAIR.size * i + 4, f"the body of layer {i} does not end at a multiple of 8")
        bodies.append((start, kind, size))
        start += size
    return tuple(outputs), bodies


def _read_cpu(data: bytes, start: int, kind: int, size: int) -> CpuLayer:
    if kind not in CPU_LAYERS:
        raise malformed(start, f"no runtime has layer type {kind}", fix="Convert the network again.")
    body = memoryview(data)[start : start + size]
    cls = CPU_LAYERS[kind]
    try:
        layer = cls.parse(body)
    except (struct.error, ValueError) as problem:
        raise malformed(start, f"{cls.NAME}: {problem}") from problem
    _require_padding(data, start + len(layer.to_bytes()), start + size)
    return layer


def _read_conv(data: bytes, start: int, size: int) -> KpuConv:
    if size < CONV_HEAD.size:
        raise malformed(start, f"K210_CONV: {size} bytes cannot hold its six fields")
    flags, output, registers_at, weights_at, norm_at, table_at = CONV_HEAD.unpack_from(data, start)
    end = start + size
    fields = decode(_read_words(data, registers_at, start, end))
    shape, quant = _shape(fields, registers_at), _quantisation(fields)
    _check_registers(data, registers_at, shape, fields)
    channels = shape.out_channels
    for offset, length, what in (
        (weights_at, shape.weights, "the weights"),
        (norm_at, 8 * channels, "the batch normalisation"),
        (table_at, TABLE_BYTES, "the activation table"),
    ):
        _require_inside(offset, length, start, end, what)
    weights_shape = (channels, shape.kernel, shape.kernel)
    if not shape.depthwise:
        weights_shape = (channels, shape.in_channels, shape.kernel, shape.kernel)  # type: ignore[assignment]
    norm = np.frombuffer(data, "<u8", channels, norm_at)
    if (norm >> np.uint64(60)).any():
        raise malformed(norm_at, "a reserved bit of the batch normalisation is set")
    try:
        activation = ActivationTable.from_bytes(data[table_at : table_at + TABLE_BYTES])
    except ValueError as problem:
        raise malformed(table_at, str(problem)) from problem
    return KpuConv(
        shape=shape,
        source_row=fields["image_src_addr"],
        target_row=fields["image_dst_addr"],
        quant=quant,
        weights=np.frombuffer(data, np.uint8, shape.weights, weights_at).reshape(weights_shape),
        norm_mul=(norm << np.uint64(40)).view(np.int64) >> 40,
        norm_add=(norm << np.uint64(8)).view(np.int64) >> 32,
        norm_shift=(norm >> np.uint64(56)).astype(np.int64),
        activation=activation,
        flags=flags,
        output=output,
    )


def _read_words(data: bytes, offset: int, start: int, end: int) -> tuple[int, ...]:
    _require_inside(offset, 8 * WORDS, start, end, "the registers")
    return struct.unpack_from(f"<{WORDS}Q", data, offset)


def _shape(fields: dict[str, int], offset: int) -> ConvShape:
    kernel, pool = fields["kernel_type"], fields["pool_type"]
    if kernel > 1:
        raise malformed(offset + 32, f"kernel type {kernel}; the KPU has 0 (1x1) and 1 (3x3)")
    if pool not in POOL_FACTOR:
        raise malformed(offset + 32, f"pool type {pool}; the KPU has 0 to 9")
    shape = ConvShape(
        in_channels=fields["i_ch_num"] + 1,
        out_channels=fields["o_ch_num"] + 1,
        height=fields["i_col_high"] + 1,
        width=fields["i_row_wid"] + 1,
        kernel=2 * kernel + 1,
        depthwise=bool(fields["depth_wise_layer"]),
        pool=pool,
    )
    if shape.depthwise and shape.in_channels != shape.out_channels:
        raise malformed(offset + 16, f"depthwise from {shape.in_channels} to {shape.out_channels} channels")
    return shape


def _quantisation(fields: dict[str, int]) -> Quantisation:
    names = ("pad_value", "arg_x", "shr_x", "arg_w", "shr_w", "arg_add")
    return Quantisation(**{name: fields[name] for name in names})


def _check_registers(data: bytes, offset: int, shape: ConvShape, fields: dict[str, int]) -> None:
    """The words must be those of the shape: anything else would make the KPU read or write other rows."""
    try:
        wanted = conv_registers(shape, fields["image_src_addr"], fields["image_dst_addr"], _quantisation(fields))
    except ValueError as problem:
        raise malformed(offset, f"{shape} does not fit the KPU: {problem}") from problem
    found = struct.unpack_from(f"<{WORDS}Q", data, offset)
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a != b:
            raise malformed(offset + 8 * i, f"register word {i} is {a:#x}; its shape {shape} gives {b:#x}")


def _require_inside(offset: int, length: int, start: int, end: int, what: str) -> None:
    if not start <= offset or offset + length > end:
        raise malformed(start, f"{what} ({length} bytes at {offset}) lie outside their body, bytes {start} to {end}")


def _require_padding(data: bytes, start: int, end: int) -> None:
    if any(data[start:end]) or end - start > 8:
        raise malformed(start, f"{end - start} unexplained bytes behind the layer")
