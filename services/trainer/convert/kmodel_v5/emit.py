"""From a trained network to a kmodel V5 with its report: prepare, compile with nncase, run nncase's simulator."""

from __future__ import annotations

from dataclasses import replace

from services.trainer.convert.common import agreement, calibration_images, check_whole, file_stem, snr_db
from services.trainer.convert.contract import (
    BoardMemory,
    ConversionReport,
    ConvertedModel,
    ConvertOptions,
    Images,
    LayerReport,
)
from services.trainer.convert.kmodel_v3.registers import KPU_ROWS, decode, rows
from services.trainer.convert.kmodel_v3.report import WARN_BYTES, check_size
from services.trainer.convert.kmodel_v5.compiler import compile
from services.trainer.convert.kmodel_v5.environment import VERSIONS
from services.trainer.convert.kmodel_v5.prepare import Prepared, prepare
from services.trainer.convert.kmodel_v5.reader import KModelV5, KpuStep, read
from services.trainer.convert.kmodel_v5.schedule import Operator
from services.trainer.convert.kmodel_v5.simulate import KModelV5Simulator
from services.trainer.graph import Add, Conv, Graph, Layer, Softmax

__all__ = ["convert"]

FORMAT = "kmodel_v5"
LOW_AGREEMENT = 0.9
HARMLESS = {"Copy", "Bitcast", "KPUUpload", "KPUDownload"}  # moves of bytes
REASONS = {  # the first of these that a layer has
    "Binary": "the image is normalised in float",
    "Reduce": "the KPU has no global average",
    "Slice": "nncase takes every second pixel on the CPU",
    "ReduceWindow2D": "the KPU pools 2x2, and only behind a convolution that is not depthwise and has no stride",
    "Pad": "its input is padded to what the KPU takes",
    "Quantize": "its input comes from the CPU",
    "Dequantize": "its output goes to the CPU",
}


def convert(graph: Graph, calibration_u8: Images, options: ConvertOptions, target: str, version: str) -> ConvertedModel:
    """See `services.trainer.convert.convert`. Weights are always quantised for the least squared error: it measures
    better with nncase (docs/targets.md); of the options only `max_calibration_images` and `allow_oversize` count."""
    check_whole(graph)
    prepared = prepare(graph)
    images = calibration_images(graph, calibration_u8, options)
    compiled = compile(graph, images, version=version, schedule=True)
    model = read(compiled.data)
    check_size(len(compiled.data), model.main_memory, options)
    report = _report(graph, prepared, compiled.data, model, compiled.operators, images, target, version)
    return ConvertedModel(target, FORMAT, f"{file_stem(graph.name)}.kmodel", compiled.data, report)


def _report(
    graph: Graph,
    prepared: Prepared,
    data: bytes,
    model: KModelV5,
    operators: tuple[Operator, ...],
    images: Images,
    target: str,
    version: str,
) -> ConversionReport:
    wanted = _without_softmax(graph).run_float(images)
    got = KModelV5Simulator(data, version).run(images)
    total = len(data) + model.main_memory
    used = [_rows(step) for run in model.kpu_steps() for step in run if isinstance(step, KpuStep)]
    layers, moved = _layers(prepared.graph, operators)
    runs = sum(operator.type == "KPUUpload" for operator in operators)
    warnings = list(prepared.warnings)
    if total > WARN_BYTES:
        warnings.append(
            f"the model takes {total} bytes of RAM; a full firmware build may have as little as {WARN_BYTES} free. "
            "Use a minimum build or a narrower network."
        )
    if runs > 1:
        warnings.append(f"the network is {runs} runs of the KPU with the CPU between them; off_accelerator names why.")
    if (same := agreement(wanted, got)) < LOW_AGREEMENT:
        warnings.append(f"only {same:.0%} of the calibration images keep their answer.")
    notes = (f"compiled by nncase {VERSIONS[version]}; the firmware must be built on the same version",)
    return ConversionReport(
        target=target,
        file_size=len(data),
        main_memory=model.main_memory,
        kpu_rows=max(used, default=0),
        kpu_rows_available=KPU_ROWS,
        board_memory=(BoardMemory(f"nncase {version} runtime", total),),
        layers=layers,
        off_accelerator=moved,
        calibration_images=len(images),
        agreement=same,
        output_snr_db=snr_db(wanted, got),
        warnings=tuple(warnings),
        notes=(*prepared.notes, *notes),
    )


def _without_softmax(graph: Graph) -> Graph:
    return replace(graph, layers=graph.layers[:-1]) if isinstance(graph.layers[-1], Softmax) else graph


def _layers(
    graph: Graph, operators: tuple[Operator, ...]
) -> tuple[tuple[LayerReport, ...], tuple[tuple[str, str], ...]]:
    """Every layer with the unit that runs it, and (layer, why) for what the CPU does."""
    names = sorted((layer.name for layer in graph.layers), key=len, reverse=True)
    units: dict[str, set[str]] = {}
    moved: dict[str, list[str]] = {}
    owner = graph.layers[0].name
    last_kpu = max((i for i, operator in enumerate(operators) if operator.unit == "KPU"), default=-1)
    for i, operator in enumerate(operators):
        owner = next((name for name in names if operator.name.startswith(f"{name}/")), owner)
        if operator.type in HARMLESS:
            continue
        if operator.type == "Dequantize" and i == last_kpu + 1:
            continue  # the result of the KPU to floats
        if operator.type not in ("Quantize", "Dequantize"):
            units.setdefault(owner, set()).add(operator.unit)
        if operator.unit == "CPU":
            moved.setdefault(owner, []).append(operator.type)
    reports = []
    unit = "KPU"
    for layer, shape in zip(graph.layers, graph.shapes(), strict=True):
        found = units.get(layer.name)
        if found:  # else nncase made it part of the layer before
            unit = "KPU" if "KPU" in found else "CPU"
        reports.append(LayerReport(layer.name, _kind(layer), unit, shape, (0.0, 0.0), None))
    adds = {layer.name for layer in graph.layers if isinstance(layer, Add)}
    return tuple(reports), tuple((name, _why(types, name in adds)) for name, types in moved.items())


def _kind(layer: Layer) -> str:
    if not isinstance(layer, Conv):
        return type(layer).__name__
    kernel = layer.weight.shape[2]
    stride = f" stride {layer.stride}" if layer.stride > 1 else ""
    activation = "" if layer.activation.kind == "none" else f" {layer.activation.kind}"
    return f"{'depthwise' if layer.depthwise else 'conv'} {kernel}x{kernel}{stride}{activation}"


def _why(types: list[str], add: bool) -> str:
    reason = next((why for kind, why in REASONS.items() if kind in types), "nncase does this on the CPU")
    if add:
        reason = "nncase adds by a convolution over both maps, which meet as floats on the CPU"
    return f"{reason} ({', '.join(dict.fromkeys(types))})"


def _rows(step: KpuStep) -> int:
    fields = decode(step.registers)
    into = rows(fields["i_ch_num"] + 1, fields["i_col_high"] + 1, fields["i_row_wid"] + 1)
    return into + rows(fields["o_ch_num"] + 1, fields["o_col_high"] + 1, fields["o_row_wid"] + 1)
