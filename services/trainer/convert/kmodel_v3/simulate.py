"""Runs a kmodel V3 file as the board would, to the bit, on numpy alone.

KPU RAM is followed as whole feature maps: before anything runs, every convolution must find at its source rows maps of
its input size that nothing has overwritten: one that has all its channels or more, or several side by side, each
ending with a full row, which the KPU's addressing cannot tell from one. A file that breaks this is refused, where a
board would compute on whatever the rows hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.common import one_blas_thread
from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer, MainMemory, Span
from services.trainer.convert.kmodel_v3.cpu_bytes import AddPadding, Upload
from services.trainer.convert.kmodel_v3.kpu import KpuUnit, Rounding
from services.trainer.convert.kmodel_v3.layers import KModel, KpuConv
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.registers import KPU_ROWS, RowLayout, rows

__all__ = ["KModelSimulator", "Rounding"]

MAX_WORK = 20_000_000_000  # multiply-adds of one image; MobileNetV1-1.0 at 224x224 takes 0.6e9
STEP_WORK, BYTE_WORK = 50_000, 10  # what an array operation and a byte of a CPU layer cost in the same unit
CHUNK_BYTES = 24 << 20  # of feature maps in work at once

UNCHECKED_POOLS = (2, 4, 8, 9)  # mean pooling, and pooling with stride 1

Shape = tuple[int, int, int]


@dataclass
class _Map:
    """A feature map in KPU RAM; `last_use` is the index of the last layer that reads it."""

    row: int
    shape: Shape
    last_use: int = -1

    @property
    def end(self) -> int:
        return self.row + rows(*self.shape)

    @property
    def full_rows(self) -> bool:
        """Whether its last row has no room for another channel."""
        return self.shape[0] % RowLayout.of(self.shape[2]).groups == 0


@dataclass
class _Step:
    """`sources`: the maps side by side that a convolution reads, and how many channels of each."""

    layer: KpuConv | CpuLayer
    unit: KpuUnit | None = None
    sources: tuple[tuple[_Map, int], ...] = ()
    target: _Map | None = None
    finished: list[_Map] = field(default_factory=list)  # maps nobody reads after this step


class KModelSimulator:
    """A loaded model: `run` maps uint8 images (n, c, h, w) to float32 (n, outputs)."""

    def __init__(self, data: bytes | KModel, rounding: Rounding = Rounding.HALF_AWAY) -> None:
        """Raises UnsupportedModel, with a byte offset, for a file that no board would run as it is meant."""
        self.model = data if isinstance(data, KModel) else read(data)
        first = self.model.layers[0]
        if not isinstance(first, KpuConv):
            raise self._refuse(0, "the first layer must be a K210_CONV: the simulator eats images")
        self.input_shape: Shape = (first.shape.in_channels, first.shape.height, first.shape.width)
        self.rounding = rounding
        self._input = _Map(first.source_row, self.input_shape)
        self._steps = self._plan()
        largest = max((sum(self._bytes(step)) for step in self._steps), default=1)
        self._chunk = max(1, min(16, CHUNK_BYTES // max(largest, 1)))

    @property
    def outputs(self) -> int:
        """Number of floats the model gives for one image, all outputs one behind the other."""
        return sum(output.size // 4 for output in self.model.outputs)

    def run(self, images_u8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Images (n, c, h, w) of `input_shape`, RGB planar, to float32 (n, outputs)."""
        if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[1:] != self.input_shape:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the model eats uint8 (n, {self.input_shape})",
                fix="Resize the images to the model's input, RGB planar, one byte per channel.",
            )
        results = np.empty((len(images_u8), self.outputs), np.float32)
        with one_blas_thread(), np.errstate(all="ignore"):  # the board's float layers do not stop for 0/0 either
            for start in range(0, len(images_u8), self._chunk):
                chunk = images_u8[start : start + self._chunk]
                results[start : start + self._chunk] = self._run_chunk(chunk)
        return results

    def _run_chunk(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        memory = MainMemory(len(images), self.model.main_memory)
        maps: dict[int, npt.NDArray[np.float32]] = {
            id(self._input): np.ascontiguousarray(images.transpose(1, 0, 2, 3), np.float32)
        }
        for step in self._steps:
            if step.unit is not None:
                result = step.unit(_side_by_side([maps[id(m)][:channels] for m, channels in step.sources]))
                self._store(step, result, maps, memory)
            elif isinstance(step.layer, AddPadding | Upload):
                maps[id(step.target)] = _to_kpu(step.layer, memory)
            else:
                step.layer.run(memory)  # type: ignore[union-attr]
            for done in step.finished:
                maps.pop(id(done), None)
        parts = [memory.floats(output.address, output.size // 4) for output in self.model.outputs]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(images), 0), np.float32)

    @staticmethod
    def _store(step: _Step, result: npt.NDArray[np.float32], maps: dict[int, Any], memory: MainMemory) -> None:
        maps[id(step.target)] = result
        conv = step.layer
        if isinstance(conv, KpuConv) and conv.to_main_memory:
            flat = result.transpose(1, 0, 2, 3).reshape(result.shape[1], -1)
            memory.bytes(conv.output, conv.output_bytes)[:] = flat

    def _plan(self) -> list[_Step]:
        live, steps, work = [self._input], [], 0
        for i, layer in enumerate(self.model.layers):
            if isinstance(layer, KpuConv):
                step = self._plan_conv(i, layer, live)
                work += layer.shape.multiply_adds
            else:
                step = _Step(layer)
                work += self._check_cpu(i, layer)
                if isinstance(layer, AddPadding | Upload):
                    shape = (layer.channels, 4, 4)
                    if isinstance(layer, Upload):
                        shape = (layer.channels, layer.height, layer.width)
                    step.target = self._allocate(i, layer.target_row, shape, live)
            if work > MAX_WORK:
                raise self._refuse(i, f"more than {MAX_WORK:.0e} multiply-adds for one image")
            steps.append(step)
        for i, step in enumerate(steps):
            if step.target is not None:
                steps[max(i, step.target.last_use)].finished.append(step.target)
        steps[max(0, self._input.last_use)].finished.append(self._input)
        return steps

    def _plan_conv(self, i: int, conv: KpuConv, live: list[_Map]) -> _Step:
        shape = conv.shape
        sources = self._find(i, conv, live)
        for source, _ in sources:
            source.last_use = i
        if min(shape.out_height, shape.out_width) < 1:
            raise self._refuse(i, f"the output of {shape} is empty")
        if shape.pool in UNCHECKED_POOLS:
            raise self._refuse(i, f"nobody has checked how pool type {shape.pool} rounds or pads on the KPU")
        out = (shape.out_channels, shape.out_height, shape.out_width)
        read_to = conv.source_row + rows(shape.in_channels, shape.height, shape.width)
        if conv.target_row < read_to and conv.source_row < conv.target_row + rows(*out):
            raise self._refuse(i, f"its output rows from {conv.target_row} overlap its input rows")
        target = self._allocate(i, conv.target_row, out, live)
        if conv.to_main_memory:
            self._check_span(i, (conv.output, conv.output_bytes))
        return _Step(conv, KpuUnit(conv, self.rounding, f"{i} ({conv.NAME})"), sources, target)

    def _find(self, i: int, conv: KpuConv, live: list[_Map]) -> tuple[tuple[_Map, int], ...]:
        """The maps whose channels the convolution reads, from its source row on."""
        shape, row = conv.shape, conv.source_row
        found: list[tuple[_Map, int]] = []
        missing = shape.in_channels
        while missing > 0:
            here = next((m for m in live if m.row == row and m.shape[1:] == (shape.height, shape.width)), None)
            if here is None or (here.shape[0] < missing and not here.full_rows):
                wanted = (shape.in_channels, shape.height, shape.width)
                what = f"no map of shape {wanted} is in KPU RAM at row {conv.source_row}"
                found_some = f": {shape.in_channels - missing} channels are, none at row {row}" if found else ""
                raise self._refuse(i, what + found_some)
            found.append((here, min(missing, here.shape[0])))
            missing -= here.shape[0]
            row = here.end
        return tuple(found)

    def _allocate(self, i: int, row: int, shape: Shape, live: list[_Map]) -> _Map:
        new = _Map(row, shape)
        if min(shape) < 1 or row < 0 or new.end > KPU_ROWS:
            raise self._refuse(i, f"a map of shape {shape} at row {row} is outside the KPU's {KPU_ROWS} rows")
        live[:] = [m for m in live if m.end <= new.row or new.end <= m.row]
        live.append(new)
        return new

    def _check_cpu(self, i: int, layer: CpuLayer) -> int:
        """Checks addresses and fields; returns what the layer costs in units of multiply-adds."""
        spans = (*layer.reads(), *layer.writes())
        for span in spans:
            self._check_span(i, span)
        if problem := layer.problem():
            raise self._refuse(i, problem)
        return STEP_WORK * layer.steps() + BYTE_WORK * sum(size for _, size in spans)

    def _check_span(self, i: int, span: Span) -> None:
        address, size = span
        if size < 1 or address + size > self.model.main_memory:
            raise self._refuse(i, f"{size} bytes at {address} are outside the {self.model.main_memory} of main memory")

    def _bytes(self, step: _Step) -> tuple[int, int]:
        """Bytes of work space a step takes for one image."""
        if not isinstance(step.layer, KpuConv):
            return 0, self.model.main_memory
        shape = step.layer.shape
        full = shape.out_channels * shape.height * shape.width
        return 8 * full, 4 * shape.in_channels * shape.height * shape.width

    def _refuse(self, i: int, what: str) -> UnsupportedModel:
        layer = self.model.layers[i]
        offset = self.model.offsets[i] if self.model.offsets else 0
        return UnsupportedModel(
            "KMODEL_MALFORMED",
            f"kmodel: layer {i} ({layer.NAME}): {what} (byte {offset}).",
            fix="Convert the network again; the file is damaged or was made for another chip.",
            offset=str(offset),
        )


def _side_by_side(maps: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return maps[0] if len(maps) == 1 else np.concatenate(maps)


def _to_kpu(layer: AddPadding | Upload, memory: MainMemory) -> npt.NDArray[np.float32]:
    """The map (c, n, h, w) that a CPU layer writes into KPU RAM."""
    if isinstance(layer, Upload):
        count = layer.channels * layer.height * layer.width
        planes = memory.bytes(layer.input, count).reshape(-1, layer.channels, layer.height, layer.width)
        return np.ascontiguousarray(planes.transpose(1, 0, 2, 3), np.float32)
    maps = np.zeros((layer.channels, memory.images, 4, 4), np.float32)  # the other 15 places are never read back
    maps[:, :, 0, 0] = memory.bytes(layer.input, layer.channels).T
    return maps
