"""The parts of a kmodel V5 that are told from the file: shapes, memory, and the convolutions of the KPU.

    header 32 B   "LDMK", version 5, header_size, flags, alignment, modules, entry_module, entry_function
    module 48 B   type[16], version, header_size, size, mempools, shared_mempools, sections, functions, 0
      mempool 8 B        location u8, 0[3], size
      function 32 B      header_size, size, input_pool, output_pool, inputs, outputs, entrypoint, text_size
                         then memory ranges (12 B) and shapes (rank, sizes…) of the inputs, those of the outputs
      section 32 B       name[16], flags, body_start (from the end of this header), body_size, 0; then the body

All numbers u32, little endian. Sources: nncase v1.1.0 and v1.9.0, include/nncase/runtime/model.h, datatypes.h,
modules/k210 runtime_types.h. Both versions write the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from services.common.errors import UnsupportedModel

__all__ = ["KModelV5", "KpuStep", "Module", "Transfer", "read"]

MAGIC, VERSION = b"LDMK", 5
HEADER, RANGE = 32, 12
MERGED_INTO_RDATA = 1
MAX_COUNT = 4096  # of anything: modules, functions, sections, inputs
MAX_RANK = 8
MEM_RDATA, MEM_DATA = 2, 3
UPLOAD, DOWNLOAD, CONV, COPY = range(4)
UPLOAD_SIZE, CONV_SIZE, COPY_SIZE = 4 + 2 * RANGE + 16, 4 + 4 * RANGE + 4 + 96, 4 + 2 * RANGE + 3 * 16

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Function:
    input_pool: int
    output_pool: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    text: bytes = field(repr=False)


@dataclass(frozen=True)
class Module:
    type: str  # "stackvm" or "k210"
    pools: dict[int, int]  # bytes by memory location
    functions: tuple[Function, ...]
    rdata: bytes = field(repr=False)


@dataclass(frozen=True)
class Transfer:
    """A map (n, c, h, w) into KPU RAM (`up`) or out of it."""

    up: bool
    row: int
    shape: Shape


@dataclass(frozen=True)
class KpuStep:
    """A convolution: the twelve registers, and the bytes they are used with."""

    registers: tuple[int, ...]
    weights: bytes = field(repr=False)
    normalisation: bytes = field(repr=False)
    activation: bytes = field(repr=False)
    to_main_memory: bool = False


@dataclass(frozen=True)
class KModelV5:
    modules: tuple[Module, ...]
    entry: Function

    @property
    def main_memory(self) -> int:
        """Bytes of inputs, outputs and work space, as nncase's own summary counts them."""
        work = sum(module.pools.get(MEM_DATA, 0) for module in self.modules)
        return self.entry.input_pool + self.entry.output_pool + work

    def kpu_steps(self) -> list[list[KpuStep | Transfer]]:
        """For every run of the KPU what happens in it."""
        return [
            _steps(module, function)
            for module in self.modules
            if module.type == "k210"
            for function in module.functions
        ]


def read(data: bytes) -> KModelV5:
    """Raises UnsupportedModel, with the byte offset, for anything but a whole kmodel V5."""
    if data[:4] != MAGIC or len(data) < HEADER:
        raise _malformed("it does not begin with LDMK", 0)
    version, _, _, _, modules, entry_module, entry_function = struct.unpack_from("<7I", data, 4)
    if version != VERSION:
        raise _malformed(f"version {version}, not {VERSION}", 4)
    cursor = _Cursor(data, HEADER)
    found = [_module(cursor) for _ in range(cursor.count(modules))]
    if entry_module >= len(found) or entry_function >= len(found[entry_module].functions):
        raise _malformed(f"entry function {entry_function} of module {entry_module} is not in the file", 24)
    return KModelV5(tuple(found), found[entry_module].functions[entry_function])


def _malformed(what: str, offset: int) -> UnsupportedModel:
    return UnsupportedModel(
        "KMODEL_MALFORMED",
        f"kmodel V5: {what} (byte {offset}).",
        fix="Convert the network again; the file is damaged or was made for another runtime.",
        offset=str(offset),
    )


class _Cursor:
    """A position in the file that never leaves it."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise _malformed(f"{size} bytes are needed, {len(self.data) - self.at} are left", self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.take(4 * count))

    def count(self, number: int, limit: int = MAX_COUNT) -> int:
        if number > limit:
            raise _malformed(f"{number} entries, at most {limit} are believed", self.at)
        return number


def _module(cursor: _Cursor) -> Module:
    start = cursor.at
    kind = cursor.take(16).split(b"\0")[0].decode("ascii", "replace")
    _, _, size, pools, shared, sections, functions, _ = cursor.words(8)
    by_location = {}
    for _ in range(cursor.count(pools)):
        location, bytes_ = cursor.words(2)
        by_location[location & 0xFF] = bytes_
    cursor.take(8 * cursor.count(shared))
    heads = [_function(cursor) for _ in range(cursor.count(functions))]
    bodies = dict(_section(cursor) for _ in range(cursor.count(sections)))
    text = bodies.get(".text", b"")
    for head in heads:
        if head.entry + head.length > len(text):
            raise _malformed("the program of a function is outside its section", start)
    if start + size < cursor.at:
        raise _malformed(f"a module of {size} bytes holds {cursor.at - start}", start)
    cursor.at = start
    cursor.take(size)
    whole = tuple(head.whole(text) for head in heads)
    return Module(kind, by_location, whole, bodies.get(".rdata", b""))


class _Head(NamedTuple):
    """A function before its program is found."""

    input_pool: int
    output_pool: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    entry: int
    length: int

    def whole(self, text: bytes) -> Function:
        return Function(*self[:4], text=text[self.entry : self.entry + self.length])


def _function(cursor: _Cursor) -> _Head:
    start = cursor.at
    _, size, input_pool, output_pool, inputs, outputs, entry, length = cursor.words(8)
    shapes = [_shapes(cursor, number) for number in (inputs, outputs)]
    if size < cursor.at - start:
        raise _malformed(f"a function header of {size} bytes holds {cursor.at - start}", start)
    cursor.at = start
    cursor.take(size)
    return _Head(input_pool, output_pool, shapes[0], shapes[1], entry, length)


def _shapes(cursor: _Cursor, number: int) -> tuple[Shape, ...]:
    """Those of all inputs or outputs, behind the memory they lie in."""
    cursor.take(RANGE * cursor.count(number))
    return tuple(cursor.words(cursor.count(cursor.words(1)[0], MAX_RANK)) for _ in range(number))


def _section(cursor: _Cursor) -> tuple[str, bytes]:
    name = cursor.take(16).split(b"\0")[0].decode("ascii", "replace")
    flags, start, size, _ = cursor.words(4)
    if flags & MERGED_INTO_RDATA:
        return name, b""
    cursor.take(start)
    return name, cursor.take(size)


def _steps(module: Module, function: Function) -> list[KpuStep | Transfer]:
    steps: list[KpuStep | Transfer] = []
    cursor = _Cursor(function.text, 0)
    while cursor.at < len(function.text):
        opcode = cursor.data[cursor.at]
        if opcode == CONV:
            steps.append(_conv(cursor.take(CONV_SIZE), module.rdata))
        elif opcode in (UPLOAD, DOWNLOAD):
            body = cursor.take(UPLOAD_SIZE)
            in_kpu = body[4 + RANGE :] if opcode == UPLOAD else body[4:]
            shape = struct.unpack_from("<4I", body, 4 + 2 * RANGE)
            steps.append(Transfer(opcode == UPLOAD, struct.unpack_from("<I", in_kpu, 4)[0] // 64, shape))
        elif opcode == COPY:
            cursor.take(COPY_SIZE)  # from main memory to main memory
        else:
            raise _malformed(f"the KPU has no operation {opcode}", cursor.at)
    return steps


def _conv(body: bytes, rdata: bytes) -> KpuStep:
    parts = []
    for i in range(3):  # weights, normalisation, activation
        location, _, _, start, size = struct.unpack_from("<BBHII", body, 4 + RANGE * i)
        if location != MEM_RDATA or start + size > len(rdata):
            raise _malformed(f"constants of a convolution at {start} of memory {location} are not in the file", 0)
        parts.append(rdata[start : start + size])
    main_memory = struct.unpack_from("<I", body, 4 + 3 * RANGE + 8)[0] > 0
    return KpuStep(struct.unpack_from("<12Q", body, CONV_SIZE - 96), parts[0], parts[1], parts[2], main_memory)
