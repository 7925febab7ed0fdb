"""The KPU in whole Python numbers, one pixel at a time: written from the formulas, apart from the simulator.

`Ram` is its RAM as plain bytes. A convolution finds its pixels there by the address registers alone, so it knows
nothing of which maps lie where.
"""

from __future__ import annotations

import numpy as np

from services.trainer.convert.kmodel_v3.layers import KModel, KpuConv
from services.trainer.convert.kmodel_v3.registers import decode

ROW = 64
LEFT_TOP = 5
MAXIMUM = 1


class Ram:
    """2 MiB, full of rubbish until something is written. Every byte that is read must have been written."""

    def __init__(self) -> None:
        self.cells: dict[int, int] = {}

    def load(self, base: int, groups: int, channel_switch: int, row_switch: int, shape: tuple) -> np.ndarray:
        places = self._places(base, groups, channel_switch, row_switch, shape)
        return np.array([self.cells[place] for place in places]).reshape(shape)

    def store(self, base: int, groups: int, channel_switch: int, row_switch: int, values: np.ndarray) -> None:
        places = self._places(base, groups, channel_switch, row_switch, values.shape)
        self.cells.update(zip(places, values.ravel().tolist(), strict=True))

    @staticmethod
    def _places(base: int, groups: int, channel_switch: int, row_switch: int, shape: tuple) -> list[int]:
        return [
            (base + c // groups * channel_switch + y * row_switch) * ROW + c % groups * (ROW // groups) + x
            for c in range(shape[0])
            for y in range(shape[1])
            for x in range(shape[2])
        ]


def run_model(model: KModel, image: np.ndarray) -> np.ndarray:
    """image (c, h, w) of bytes to the bytes of the last map, through KPU RAM."""
    ram, result = Ram(), image
    for layer in model.layers:
        if not isinstance(layer, KpuConv):
            continue
        f = decode(layer.registers())
        source = (f["image_src_addr"], f["coef_group"], f["channel_switch_addr"], f["row_switch_addr"])
        target = (f["image_dst_addr"], f["wb_group"], f["wb_channel_switch_addr"], f["wb_row_switch_addr"])
        if layer is model.layers[0]:
            ram.store(*source, image)
        result = run(layer, ram.load(*source, (f["i_ch_num"] + 1, f["i_col_high"] + 1, f["i_row_wid"] + 1)))
        ram.store(*target, result)
    return result


def run(conv: KpuConv, image: np.ndarray, half_even: bool = False) -> np.ndarray:
    """image (c, h, w) of bytes to (oc, oh, ow) of bytes."""
    shape = conv.shape
    before_pool = np.zeros((shape.out_channels, shape.height, shape.width), np.int64)
    for o in range(shape.out_channels):
        for y in range(shape.height):
            for x in range(shape.width):
                value = _normalise(conv, o, _accumulate(conv, image, o, y, x))
                before_pool[o, y, x] = _activate(conv, value, half_even)
    return _pool(before_pool, shape.pool)


def _accumulate(conv: KpuConv, image: np.ndarray, o: int, y: int, x: int) -> int:
    shape, quant = conv.shape, conv.quant
    sum_xw = sum_x = sum_w = 0
    for i in [o] if shape.depthwise else range(shape.in_channels):
        for ky in range(shape.kernel):
            for kx in range(shape.kernel):
                py, px = y + ky - shape.kernel // 2, x + kx - shape.kernel // 2
                inside = 0 <= py < shape.height and 0 <= px < shape.width
                pixel = int(image[i, py, px]) if inside else quant.pad_value
                weight = int(conv.weights[o, ky, kx] if shape.depthwise else conv.weights[o, i, ky, kx])
                sum_xw, sum_x, sum_w = sum_xw + pixel * weight, sum_x + pixel, sum_w + weight
    terms = quant.arg_add * (1 if shape.depthwise else shape.in_channels)
    return sum_xw + (quant.arg_x * sum_x >> quant.shr_x) + (quant.arg_w * sum_w >> quant.shr_w) + terms


def _normalise(conv: KpuConv, o: int, alu: int) -> int:
    assert -(2**35) <= alu < 2**35
    value = (alu * int(conv.norm_mul[o]) >> int(conv.norm_shift[o])) + int(conv.norm_add[o])
    assert -(2**35) <= value < 2**35
    return value


def _activate(conv: KpuConv, value: int, half_even: bool) -> int:
    table = conv.activation
    below = [i for i, s in enumerate(table.x_start) if (s < value if half_even else s <= value)]
    i = below[-1] if below else 0
    product, shift = (value - table.x_start[i]) * table.y_mul[i], table.shift[i]
    magnitude, rest = divmod(abs(product), 2**shift)
    if 2 * rest > 2**shift or (2 * rest == 2**shift and (not half_even or magnitude % 2)):
        magnitude += 1
    y = (magnitude if product >= 0 else -magnitude) + table.bias[i]
    return min(max(y, 0), 255)


def _pool(maps: np.ndarray, pool: int) -> np.ndarray:
    if pool == LEFT_TOP:
        return maps[:, 0::2, 0::2]
    if pool == MAXIMUM:
        corners = [maps[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
        return np.max(corners, axis=0)
    return maps
