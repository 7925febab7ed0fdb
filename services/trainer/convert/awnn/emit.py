"""From a trained network to a V831 model file with its report."""

from __future__ import annotations

from dataclasses import replace

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn import TARGET_ID
from services.trainer.convert.awnn.calibrate import METHOD, Calibrated, calibrate
from services.trainer.convert.awnn.container import Container, pack
from services.trainer.convert.awnn.lower import Lowered, lower
from services.trainer.convert.awnn.ranges import Method
from services.trainer.convert.awnn.shapes import blob_shapes
from services.trainer.convert.awnn.simulate import AwnnSimulator
from services.trainer.convert.common import agreement, calibration_images, file_stem, snr_db
from services.trainer.convert.contract import (
    BoardMemory,
    ConversionReport,
    ConvertedModel,
    ConvertOptions,
    Images,
    LayerReport,
)
from services.trainer.graph import Conv, Graph, Layer, Softmax

__all__ = ["REFUSE_BYTES", "check_file_size", "container_of", "convert"]

REFUSE_BYTES = 16 << 20  # of the file; the board has 64 MiB for Linux, Python, camera and model
LOW_SNR_DB = 10.0
UNCHECKED = "The NPU's rounding is not public: answers on the board may differ by a step of the output's scale."


def convert(graph: Graph, calibration_u8: Images, options: ConvertOptions, method: Method = METHOD) -> ConvertedModel:
    """See `services.trainer.convert.convert`. Output of the file: logits, or the last map."""
    lowered = lower(graph)
    images = calibration_images(graph, calibration_u8, options)
    calibrated = calibrate(lowered, images, options, method)
    container = container_of(graph, lowered, calibrated)
    data = pack(container)
    check_file_size(len(data), options)
    report = _report(graph, lowered, calibrated, data, images)
    return ConvertedModel(TARGET_ID, "awnn_int8", f"{file_stem(graph.name)}.awnn", data, report)


def check_file_size(size: int, options: ConvertOptions) -> None:
    """UnsupportedModel for more bytes than the board's memory takes, unless `allow_oversize`."""
    if size > REFUSE_BYTES and not options.allow_oversize:
        raise UnsupportedModel(
            "TOO_LARGE",
            f"the file has {size} bytes; a board with 64 MiB of memory takes at most {REFUSE_BYTES}.",
            fix="Use a narrower network without depthwise convolutions, or allow_oversize.",
        )


def container_of(graph: Graph, lowered: Lowered, calibrated: Calibrated) -> Container:
    """The file's parts."""
    channels, height, width = blob_shapes(lowered.layers)["output0"]
    spec = graph.input
    return Container(
        param=calibrated.quantised.param(),
        bin=calibrated.quantised.bin(),
        input=(spec.height, spec.width, spec.channels),
        output=(height, width, channels),
        mean=lowered.mean,
        norm=lowered.norm,
        name=graph.name,
        labels=graph.labels,
        anchors=graph.anchors,
    )


def _report(graph: Graph, lowered: Lowered, calibrated: Calibrated, data: bytes, images: Images) -> ConversionReport:
    is_softmax = isinstance(graph.layers[-1], Softmax)
    float_graph = replace(graph, layers=graph.layers[:-1]) if is_softmax else graph
    wanted = float_graph.run_float(images)
    simulator = AwnnSimulator(data)
    got = simulator.run(images)
    memory = simulator.network.peak()
    return ConversionReport(
        target=TARGET_ID,
        file_size=len(data),
        main_memory=memory,
        board_memory=(BoardMemory("MaixPy3", len(data) + memory),),
        layers=_layers(graph, lowered, calibrated),
        off_accelerator=tuple(
            (layer.name, "softmax, taken by the script") for layer in graph.layers[-1:] if is_softmax
        ),
        calibration_images=len(images),
        agreement=agreement(wanted, got),
        output_snr_db=snr_db(wanted, got),
        warnings=(*lowered.warnings, *_low_quality(lowered, calibrated)),
        notes=(*lowered.notes, UNCHECKED),
    )


def _layers(graph: Graph, lowered: Lowered, calibrated: Calibrated) -> tuple[LayerReport, ...]:
    shapes = dict(zip((layer.name for layer in graph.layers), graph.shapes(), strict=True))
    reports = []
    for layer, blob in lowered.ends:
        step = 1 / float(calibrated.scales.blobs[blob])
        low = 0.0 if blob in lowered.activated.values() else -128 * step
        quality = calibrated.snr_db[blob]
        reports.append(LayerReport(layer.name, _kind(layer), "NPU", shapes[layer.name], (low, 127 * step), quality))
    return tuple(reports)


def _kind(layer: Layer) -> str:
    if not isinstance(layer, Conv):
        return type(layer).__name__
    size = layer.weight.shape[2]
    act = "" if layer.activation.kind == "none" else f" {layer.activation.kind}"
    return f"{'depthwise' if layer.depthwise else 'conv'} {size}x{size}{' stride 2' if layer.stride == 2 else ''}{act}"


def _low_quality(lowered: Lowered, calibrated: Calibrated) -> list[str]:
    return [
        f"{layer.name}: the signal-to-noise ratio is only {calibrated.snr_db[blob]:.1f} dB on the calibration images. "
        "Calibrate with images of all labels, or train with ReLU6."
        for layer, blob in lowered.ends
        if calibrated.snr_db[blob] < LOW_SNR_DB
    ]
