"""What a converted model costs on the board and how close it is to the float network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.trainer.convert.common import agreement, snr_db
from services.trainer.convert.contract import (
    ConversionReport,
    ConvertOptions,
    Images,
    LayerReport,
    RoundingReport,
)
from services.trainer.convert.kmodel_v3 import TARGET_ID
from services.trainer.convert.kmodel_v3.calibrate import QuantisedStage
from services.trainer.convert.kmodel_v3.cpu_base import MainMemory
from services.trainer.convert.kmodel_v3.detector import detector_warnings
from services.trainer.convert.kmodel_v3.firmware import WARN_BYTES, board_memory, check_size
from services.trainer.convert.kmodel_v3.kpu import Rounding
from services.trainer.convert.kmodel_v3.layers import KModel, KpuConv
from services.trainer.convert.kmodel_v3.memory import peak_rows
from services.trainer.convert.kmodel_v3.registers import KPU_ROWS
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator
from services.trainer.convert.kmodel_v3.stages import Lowered
from services.trainer.graph import FullyConnected, Graph, Softmax

__all__ = ["WARN_BYTES", "check_size", "make_report"]

LOW_SNR_DB = 10.0
ROUNDING_IMAGES = 12
COARSE_PRESCALE = 12  # below that many bits of fraction ties are no longer rare


def make_report(
    graph: Graph,
    lowered: Lowered,
    stages: list[QuantisedStage],
    model: KModel,
    data: bytes,
    images: Images,
    options: ConvertOptions,
) -> ConversionReport:
    """Runs float network and file on the calibration images and writes down what differs. Needs torch.

    What the KPU gives for them is known from the calibration, to the bit; the file runs as a whole on some of them.
    """
    float_graph = graph
    if isinstance(graph.layers[-1], Softmax):
        float_graph = replace(graph, layers=graph.layers[:-1])
    wanted = float_graph.run_float(images)
    got = _outputs(model, stages[-1].data, len(images))
    some = np.linspace(0, len(images) - 1, min(len(images), ROUNDING_IMAGES)).round().astype(int)
    other = KModelSimulator(data, Rounding.HALF_EVEN).run(images[some])
    rounding = RoundingReport(agreement(got[some], other), float(np.abs(got[some] - other).max()))
    return ConversionReport(
        target=TARGET_ID,
        file_size=len(data),
        main_memory=model.main_memory,
        kpu_rows=peak_rows(lowered.stages, lowered.shapes),
        kpu_rows_available=KPU_ROWS,
        board_memory=board_memory(len(data), model.main_memory),
        layers=_layers(lowered, stages),
        off_accelerator=lowered.moved,
        calibration_images=len(images),
        agreement=agreement(wanted, got),
        output_snr_db=snr_db(wanted, got),
        rounding=rounding,
        warnings=_warnings(graph, stages, len(data) + model.main_memory, options) + detector_warnings(graph),
        notes=lowered.notes,
    )


def _outputs(model: KModel, last: npt.NDArray[np.float32] | None, images: int) -> npt.NDArray[np.float32]:
    """Outputs (n, outputs) of the file from the bytes (c, n, h, w) of its last convolution."""
    assert last is not None
    memory = MainMemory(images, model.main_memory)
    for layer in model.layers:
        if isinstance(layer, KpuConv):
            if layer.to_main_memory:
                flat = last.transpose(1, 0, 2, 3).reshape(images, -1)
                memory.bytes(layer.output, layer.output_bytes)[:] = flat
        else:
            layer.run(memory)
    return np.concatenate([memory.floats(o.address, o.size // 4) for o in model.outputs], axis=1)


def _layers(lowered: Lowered, stages: list[QuantisedStage]) -> tuple[LayerReport, ...]:
    reports = []
    for done in stages:
        shape = done.conv.shape
        kind = "depthwise" if shape.depthwise else "conv"
        pooled = {0: "", 1: " + max pool", 3: " + max pool 4x4", 5: " stride 2"}[shape.pool]
        act = "" if done.stage.activation.kind == "none" else f" {done.stage.activation.kind}"
        output = (shape.out_channels, shape.out_height, shape.out_width)
        name = f"{kind} {shape.kernel}x{shape.kernel}{pooled}{act}"
        reports.append(LayerReport(done.stage.name, name, "KPU", output, done.out.range, done.snr_db))
    channels = stages[-1].conv.shape.out_channels
    for part in lowered.tail:
        channels = len(part.bias) if isinstance(part, FullyConnected) else channels
        reports.append(LayerReport(part.name, type(part).__name__, "CPU", (channels,), (0.0, 0.0), None))
    return tuple(reports)


def _warnings(graph: Graph, stages: list[QuantisedStage], total: int, options: ConvertOptions) -> tuple[str, ...]:
    found = []
    if total > WARN_BYTES:
        found.append(
            f"the model takes {total} bytes of RAM; a full MaixPy build may have as little as {WARN_BYTES} free. "
            "Use a minimum build or a narrower network."
        )
    first = stages[0]
    spread = 255 * (max(graph.input.mean) - min(graph.input.mean))
    if first.conv.shape.kernel == 3 and spread > 2:
        found.append(
            f"{first.stage.name}: the KPU pads all channels with one byte, {first.conv.quant.pad_value}; the channel "
            f"means lie {spread:.0f} bytes apart, so the border of the first map differs. Train with one mean."
        )
    for done in stages:
        if done.prescale < min(options.prescale, COARSE_PRESCALE):
            found.append(
                f"{done.stage.name}: its sums are so wide that the activation unit works with {done.prescale} bits of "
                f"fraction in place of {options.prescale}."
            )
        if done.snr_db < LOW_SNR_DB:
            found.append(
                f"{done.stage.name}: the signal-to-noise ratio is only {done.snr_db:.1f} dB on the calibration images. "
                "Calibrate with images of all labels, or train with ReLU6."
            )
    return tuple(found)
