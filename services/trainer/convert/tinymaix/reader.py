"""Reads a .tmdl file and refuses every file that TinyMaix could not run, or would run past its buffers.

TinyMaix itself checks the magic and the type only: it follows offsets blindly, and a sum that overflows or a size that
does not fit reads foreign memory. So the reader recomputes every offset and size, and finds out which layer wrote what
each layer reads.
"""

from __future__ import annotations

import math

from services.trainer.convert.tinymaix.errors import malformed, truncated
from services.trainer.convert.tinymaix.layers import (
    HEAD_BYTES,
    MAGIC,
    MODEL_HEAD,
    MODEL_HEAD_BYTES,
    AddLayer,
    Dims,
    FileLayer,
    Head,
    Kind,
    MdlType,
    Model,
    PlainLayer,
    align,
    elements,
    head_format,
    sound_scale,
)
from services.trainer.convert.tinymaix.read_layers import read_add, read_conv, read_fc

__all__ = ["MAX_BUFFER", "MAX_LAYERS", "MAX_MULTIPLY_ADDS", "read"]

MAX_LAYERS = 1024
MAX_BUFFER = 8 << 20  # the largest RAM of a microcontroller in TinyMaix's benchmark.md: W801 with 8 MB PSRAM
MAX_MULTIPLY_ADDS = 1 << 32  # of one image; keeps a hostile file from keeping the simulator busy
OTHER_TYPES = {1: "int16", 3: "fp16", 4: "fp8 1.4.3", 5: "fp8 1.5.2"}


def read(data: bytes) -> Model:
    """The model in `data`. Raises UnsupportedModel with the byte offset of what is wrong."""
    mdl_type, out_deq, count, buf_size, in_dims, out_dims = _read_model_head(data)
    layers: list[FileLayer] = []
    starts, work, at = [], 0, MODEL_HEAD_BYTES
    for _ in range(count):
        layer, size = _read_layer(data, at, mdl_type)
        work += _multiply_adds(layer)
        if work > MAX_MULTIPLY_ADDS:
            raise malformed(at, f"more than {MAX_MULTIPLY_ADDS} multiplications for one image")
        layers.append(layer)
        starts.append(at)
        at += size
    if at != len(data):
        raise malformed(at, f"{len(data) - at} bytes behind the last layer")
    model = Model(mdl_type, out_deq, buf_size, in_dims, out_dims, tuple(layers), (), tuple(starts))
    last = layers[-1].head
    if [layer.head.is_out for layer in layers] != [False] * (count - 1) + [True]:
        raise malformed(starts[-1], "the last layer, and no other, must be the output")
    if last.out_dims[1:] != out_dims[1:]:
        raise malformed(28, f"the output is {out_dims[1:]}, the last layer gives {last.out_dims[1:]}")
    sources = _trace(model)
    return Model(mdl_type, out_deq, buf_size, in_dims, out_dims, tuple(layers), sources, tuple(starts))


def _read_model_head(data: bytes) -> tuple[MdlType, bool, int, int, Dims, Dims]:
    if len(data) < MODEL_HEAD_BYTES:
        raise truncated(0, MODEL_HEAD_BYTES, "the head")
    fields = MODEL_HEAD.unpack_from(data)
    magic, mdl_type, out_deq, input_count, output_count, count, buf_size, sub_size = fields[:8]
    in_dims, out_dims = fields[8:12], fields[12:16]
    if magic != MAGIC:
        raise malformed(0, f"it begins with {magic!r}, not with {MAGIC!r}", fix="Choose a TinyMaix model file.")
    if mdl_type not in (MdlType.INT8, MdlType.FP32):
        name = OTHER_TYPES.get(mdl_type, f"type {mdl_type}")
        raise malformed(4, f"{name} is not supported", fix="Convert for mcu-tinymaix-int8 or mcu-tinymaix-fp32.")
    if out_deq > 1 or (input_count, output_count) != (1, 1):
        what = f"{input_count} inputs, {output_count} outputs, dequantise {out_deq}; it must be 1, 1, and 0 or 1"
        raise malformed(5, what, fix="Convert the network with Boardloop; big-endian files are not supported.")
    if not 1 <= count <= MAX_LAYERS:
        raise malformed(10, f"{count} layers; a file has 1 to {MAX_LAYERS}")
    if not 1 <= buf_size <= MAX_BUFFER:
        raise malformed(12, f"a buffer of {buf_size} bytes; 1 to {MAX_BUFFER} are possible")
    if sub_size:
        raise malformed(16, f"a second buffer of {sub_size} bytes, which no layer uses")
    if any(data[MODEL_HEAD.size : MODEL_HEAD_BYTES]):
        raise malformed(MODEL_HEAD.size, "the reserved bytes of the head are not 0")
    return MdlType(mdl_type), bool(out_deq), count, buf_size, _dims(20, in_dims), _dims(28, out_dims)


def _dims(at: int, dims: tuple[int, ...]) -> Dims:
    count, *sizes = dims
    if not 1 <= count <= 3 or min(sizes) < 1 or any(size != 1 for size in sizes[: 3 - count]):
        raise malformed(at, f"dimensions {dims}; they are a count of 1 to 3, height, width and channels")
    return count, sizes[0], sizes[1], sizes[2]


def _read_layer(data: bytes, at: int, mdl_type: MdlType) -> tuple[FileLayer, int]:
    if at + HEAD_BYTES > len(data):
        raise truncated(at, HEAD_BYTES, "the head of a layer")
    kind, is_out, size, in_oft, out_oft, *rest = head_format(mdl_type).unpack_from(data, at)
    dims, (in_s, in_zp, out_s, out_zp) = rest[:8], rest[8:]
    if kind > Kind.ADD:
        raise malformed(at, f"layer type {kind} is unknown")
    if is_out > 1:
        raise malformed(at + 2, f"output flag {is_out}")
    if size < HEAD_BYTES or size % 8 or at + size > len(data):
        raise truncated(at, size, "a layer") if at + size > len(data) else malformed(at + 4, f"a layer of {size} bytes")
    head = Head(
        Kind(kind),
        bool(is_out),
        in_oft,
        out_oft,
        _dims(at + 16, tuple(dims[:4])),
        _dims(at + 24, tuple(dims[4:])),
        in_s,
        in_zp,
        out_s,
        out_zp,
    )
    _check_quantisation(at, head, mdl_type)
    body = memoryview(data)[at : at + size]
    layer: FileLayer
    match head.kind:
        case Kind.CONV | Kind.DWCONV:
            layer = read_conv(body, at, head, mdl_type)
        case Kind.FC:
            layer = read_fc(body, at, head, mdl_type)
        case Kind.ADD:
            layer = read_add(body, at, head, mdl_type)
        case _:
            layer = _plain(size, at, head)
    return layer, size


def _check_quantisation(at: int, head: Head, mdl_type: MdlType) -> None:
    for offset, scale, zero_point in ((32, head.in_s, head.in_zp), (40, head.out_s, head.out_zp)):
        if scale < 0 or not sound_scale(scale):
            raise malformed(at + offset, f"a scale of {scale}; it must be positive, 1e-15 to 1e15")
        if mdl_type is MdlType.INT8 and not -128 <= zero_point <= 127:
            raise malformed(at + offset + 4, f"a zero point of {zero_point}; an int8 is -128 to 127")
        if not math.isfinite(zero_point):
            raise malformed(at + offset + 4, f"a zero point of {zero_point}")


def _plain(size: int, at: int, head: Head) -> PlainLayer:
    if size != HEAD_BYTES:
        raise malformed(at + 4, f"a {head.kind.name} layer of {size} bytes; it has {HEAD_BYTES}")
    if head.kind is Kind.RESHAPE and head.in_oft != head.out_oft:
        raise malformed(at + 12, "a reshape that moves its data; TinyMaix does not copy")
    wanted = {
        Kind.GAP: head.out_dims[1:] == (1, 1, head.in_dims[3]),
        Kind.SOFTMAX: head.in_dims[1:] == head.out_dims[1:] and head.in_dims[1:3] == (1, 1),
        Kind.RESHAPE: elements(head.in_dims) == elements(head.out_dims),
    }
    if not wanted[head.kind]:
        raise malformed(at + 24, f"{head.kind.name} from {head.in_dims[1:]} to {head.out_dims[1:]}")
    return PlainLayer(head)


def _multiply_adds(layer: FileLayer) -> int:
    head = layer.head
    if isinstance(layer, AddLayer | PlainLayer):
        return max(elements(head.in_dims), elements(head.out_dims))
    return int(layer.weight.size) * head.out_dims[1] * head.out_dims[2] + elements(head.out_dims)


def _trace(model: Model) -> tuple[tuple[int, ...], ...]:
    """For every layer the layers whose output it reads. `held` is what lies in the buffer: offset to (writer, size)."""
    unit = model.unit
    size = elements(model.in_dims) * unit
    if size > model.buf_size:
        raise malformed(20, f"an image of {size} bytes for a buffer of {model.buf_size}")
    held = {0: (-1, size)}
    sources = []
    for i, (layer, at) in enumerate(zip(model.layers, model.starts, strict=True)):
        head = layer.head
        reads = [head.in_oft] + ([layer.in_oft1] if isinstance(layer, AddLayer) else [])
        wanted = elements(head.in_dims) * unit
        for offset in reads:
            if held.get(offset, (0, 0))[1] != wanted:
                raise malformed(
                    at + 8, f"layer {i} reads {wanted} bytes at {offset} of the buffer that none wrote as such"
                )
        if i == 0 and (head.in_oft != 0 or head.in_dims[1:] != model.in_dims[1:]):
            raise malformed(at + 16, "the first layer does not read the image")
        sources.append(tuple(held[offset][0] for offset in reads))
        held = _written(model, i, at, held, reads, wanted)
    return tuple(sources)


def _written(
    model: Model, i: int, at: int, held: dict[int, tuple[int, int]], reads: list[int], read_size: int
) -> dict[int, tuple[int, int]]:
    """`held` after layer `i`. Raises where it writes over what it reads, or past the buffer."""
    head = model.layers[i].head
    size = elements(head.out_dims) * model.unit
    start = head.out_oft
    scratch = _scratch(model, head)
    if start % 4 or start + scratch > model.buf_size:
        raise malformed(at + 12, f"layer {i} writes {scratch} bytes at {start} of a buffer of {model.buf_size}")
    in_place = head.kind is Kind.RESHAPE or (head.kind is Kind.ADD and start in reads)
    if head.kind is Kind.RESHAPE:
        scratch = size
    for offset in reads:
        overlap = start < offset + read_size and offset < start + scratch
        if overlap and not (in_place and offset == start):
            raise malformed(at + 12, f"layer {i} writes over its own input")
    kept = {o: (w, s) for o, (w, s) in held.items() if start >= o + s or o >= start + scratch}
    return kept | {start: (i, size)}


def _scratch(model: Model, head: Head) -> int:
    """Bytes a layer touches from its output offset on, floats of softmax and of dequantised outputs included."""
    count = elements(head.out_dims)
    if model.mdl_type is MdlType.INT8 and head.is_out and model.out_deq:
        return align(count) + 4 * count
    return 4 * count if head.kind is Kind.SOFTMAX else count * model.unit
