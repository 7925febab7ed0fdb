"""Scales and corrected biases from calibration images, layer by layer, the float network beside the integer one.

Every layer runs on what the integers so far really give. The mean by which its sums then miss the float network's goes
into its bias (sequential bias correction: Nagel et al., 2019, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from services.trainer.convert.awnn.integers import int_layer
from services.trainer.convert.awnn.kernels import Int8Map, diagonal
from services.trainer.convert.awnn.lower import Lowered
from services.trainer.convert.awnn.quantise import Quantised, Quantiser
from services.trainer.convert.awnn.ranges import LEVELS, Method, threshold, weight_scales
from services.trainer.convert.awnn.shapes import blob_shapes
from services.trainer.convert.awnn.simulate import LayerUnit, image_to_int8
from services.trainer.convert.awnn.table import Scales
from services.trainer.convert.common import snr_db
from services.trainer.convert.contract import ConvertOptions, Images
from services.trainer.convert.ncnn_bin import has_weights
from services.trainer.convert.ncnn_text import ParamLayer

if TYPE_CHECKING:
    import torch

__all__ = ["Calibrated", "calibrate"]

INPUT_SCALE = np.float32(127)  # |x'| <= 1; the vendor's calibration writes this one too
GRID = 1 << 15  # a factor up to 1 is a whole number of 1/32768
FEWEST_STEPS = 8
OUTPUT_HEADROOM = 1.25  # other images have higher logits than the calibration's, and two that saturate are a tie
METHOD: Method = "mse"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Calibrated:
    quantised: Quantised
    scales: Scales
    snr_db: dict[str, float]  # by blob, of the integers against the float network


def calibrate(lowered: Lowered, images: Images, options: ConvertOptions, method: Method = METHOD) -> Calibrated:
    """Needs torch. `images` uint8 (n, c, h, w)."""
    return _Calibration(lowered, images, options, method).run()


class _Calibration:
    def __init__(self, lowered: Lowered, images: Images, options: ConvertOptions, method: Method) -> None:
        self.lowered, self.images, self.options, self.method = lowered, images, options, method
        self.weights = dict(lowered.weights)
        self.scales = Scales()
        self.quantiser = Quantiser(self.weights, self.scales, blob_shapes(lowered.layers))
        self.real: dict[str, torch.Tensor] = {}  # (n, c, h, w)
        self.bytes: dict[str, Int8Map] = {}  # (c, n, h, w)
        self.quality: dict[str, float] = {}

    def run(self) -> Calibrated:
        last = {blob: i for i, layer in enumerate(self.lowered.layers) for blob in layer.inputs}
        for i, layer in enumerate(self.lowered.layers):
            self._layer(layer)
            for blob in layer.inputs:
                if last[blob] == i:
                    del self.real[blob], self.bytes[blob]
        return Calibrated(self.quantiser.result(), self.scales, self.quality)

    def _layer(self, layer: ParamLayer) -> None:
        blob = layer.outputs[0]
        real = self._input() if layer.type == "Input" else self._run_float(layer)
        for output in layer.outputs:
            self.real[output] = real
        self._choose_scales(layer, real)
        if has_weights(layer) and self.options.bias_correction:
            self._correct_bias(layer, real)
        done = self.quantiser.add(layer)[0]
        if layer.type == "Input":
            lowered = self.lowered
            y = image_to_int8(self.images, lowered.mean, lowered.norm, float(INPUT_SCALE))
        else:
            unit = LayerUnit(done, self.quantiser.integers.get(layer.name))
            y = unit.run(*(self.bytes[source] for source in layer.inputs))
        self.bytes.update(dict.fromkeys(layer.outputs, y))
        if blob not in self.lowered.activated and layer.type != "Split":
            wanted = real.numpy().swapaxes(0, 1)
            self.quality[blob] = snr_db(wanted, y / self.scales.blobs[blob])

    def _input(self) -> torch.Tensor:
        import torch

        mean, norm = (np.asarray(v, np.float32)[:, None, None] for v in (self.lowered.mean, self.lowered.norm))
        return torch.from_numpy((self.images.astype(np.float32) - mean) * norm)

    def _run_float(self, layer: ParamLayer) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        x = self.real[layer.inputs[0]]
        with torch.no_grad():
            match layer.type:
                case "Convolution":
                    given = self.lowered.weights[layer.name]
                    own = diagonal(given.weight)
                    weight = torch.from_numpy(np.ascontiguousarray(given.weight if own is None else own))
                    groups = 1 if own is None else len(own)
                    bias = torch.from_numpy(given.bias)
                    return F.conv2d(x, weight, bias, layer.integer(3, 1), layer.integer(4), groups=groups)
                case "InnerProduct":
                    given = self.lowered.weights[layer.name]
                    flat = F.linear(x.flatten(1), torch.from_numpy(given.weight), torch.from_numpy(given.bias))
                    return flat[:, :, None, None]
                case "ReLU":
                    return x.clamp(0, self.lowered.ceilings.get(layer.outputs[0]))
                case "Pooling" if layer.integer(4):
                    return x.mean((2, 3), keepdim=True)
                case "Pooling":
                    return F.max_pool2d(x, layer.integer(1), layer.integer(2))
                case "BinaryOp":
                    return x + self.real[layer.inputs[1]]
                case _:
                    assert layer.type == "Split"
                    return x

    def _choose_scales(self, layer: ParamLayer, real: torch.Tensor) -> None:
        blobs, blob = self.scales.blobs, layer.outputs[0]
        if layer.type == "Input":
            blobs[blob] = INPUT_SCALE
        elif layer.type == "Split" or (layer.type == "Pooling" and not layer.integer(4)):
            blobs.update(dict.fromkeys(layer.outputs, blobs[layer.inputs[0]]))
        elif layer.type == "ReLU":
            self._scale_of_relu(layer)
        else:
            blobs[blob] = self._scale_of_sums(layer, real)

    def _scale_of_relu(self, layer: ParamLayer) -> None:
        """That of the sums, so that integers pass unchanged; behind a ReLU6 not below 127/6, where int8 saturates."""
        (source,), (blob,) = layer.inputs, layer.outputs
        scale, ceiling = self.scales.blobs[source], self.lowered.ceilings.get(blob)
        self.scales.blobs[blob] = scale if ceiling is None else max(scale, _six_decimals(LEVELS / ceiling))

    def _scale_of_sums(self, layer: ParamLayer, real: torch.Tensor) -> np.float32:
        blob = layer.outputs[0]
        behind = self.lowered.activated.get(blob)
        ceiling = None if behind is None else self.lowered.ceilings.get(behind)
        seen = real if behind is None else real.clamp(0, ceiling)
        if blob == "output0":
            top = OUTPUT_HEADROOM * threshold(seen.numpy(), "max")
        else:
            top = threshold(seen.numpy(), self.method)
        scale = _six_decimals(LEVELS / top)
        if not has_weights(layer):
            return scale
        scales = weight_scales(self.weights[layer.name].weight, self.options.weight_range)
        self.scales.weights[layer.name], scale = _on_grid(scales, self.scales.blobs[layer.inputs[0]], scale)
        return scale

    def _correct_bias(self, layer: ParamLayer, real: torch.Tensor) -> None:
        given = self.weights[layer.name]
        source, blob = self.scales.blobs[layer.inputs[0]], self.scales.blobs[layer.outputs[0]]
        scales = self.scales.weights[layer.name]
        x = self.bytes[layer.inputs[0]]
        weight = (
            given.weight
            if layer.type == "Convolution"
            else given.weight.reshape(len(given.weight), len(x), *x.shape[2:])
        )
        unit = LayerUnit(layer, int_layer(weight, None, scales, source, blob).weights)
        total, count = np.zeros(len(weight)), 0
        for _, acc in unit.sums.strips(x):
            wide = unit.scaled(acc)
            total += wide.sum((1, 2, 3))
            count += wide[0].size
        wanted = real.double().mean((0, 2, 3)).numpy()
        bias = (wanted - total / count / float(source * scales.min())).astype(np.float32)
        self.weights[layer.name] = replace(given, bias=bias)


def _on_grid(scales: Floats, source: np.float32, target: np.float32) -> tuple[Floats, np.float32]:
    """Weight and output scales that a multiplier hits exactly: target/(source*min(scales)) a whole number of 1/32768.

    The vendor's tool rounds the multiplier instead. As most are below 300, that changes the gain by up to some percent.
    The weights give way, by less than one step in `FEWEST_STEPS`; where there are fewer, the output's range widens.
    """
    unit = float(source) * float(scales.min())
    steps = float(target) / unit * GRID
    if steps > GRID:
        return scales, target
    if steps >= FEWEST_STEPS:
        lower: Floats = np.round(scales.astype(np.float64) * (steps / np.ceil(steps)), 6).astype(np.float32)
        return lower, target
    return scales, _six_decimals(max(1.0, np.floor(steps)) / GRID * unit)


def _six_decimals(scale: float) -> np.float32:
    """As the table and the file write it; a scale below that comes from values above 100 million."""
    return np.float32(max(round(scale, 6), 1e-6))
