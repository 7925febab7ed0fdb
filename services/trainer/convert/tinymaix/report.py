"""What a converted model costs on the chip and how close it is to the float network."""

from __future__ import annotations

from dataclasses import replace

from services.trainer.convert.common import agreement, snr_db
from services.trainer.convert.contract import ConversionReport, Images, LayerReport
from services.trainer.convert.tinymaix.calibrate import QuantisedStep
from services.trainer.convert.tinymaix.layers import Model
from services.trainer.convert.tinymaix.limits import STOCK, needs, static_bytes
from services.trainer.convert.tinymaix.lower import Step
from services.trainer.convert.tinymaix.simulate import TmdlSimulator
from services.trainer.graph import Graph, Softmax

__all__ = ["make_report"]

LOW_SNR_DB = 10.0


def make_report(
    graph: Graph,
    target: str,
    steps: tuple[Step, ...],
    done: list[QuantisedStep],
    model: Model,
    data: bytes,
    images: Images,
    warnings: tuple[str, ...],
) -> ConversionReport:
    """Runs float network and file on the calibration images and writes down what differs. Needs torch.

    `main_memory` is the buffer of the maps; `done` is empty for a float model.
    """
    float_graph = graph
    if isinstance(graph.layers[-1], Softmax):
        float_graph = replace(graph, layers=graph.layers[:-1])
    wanted = float_graph.run_float(images)
    got = TmdlSimulator(data).run(images)
    return ConversionReport(
        target=target,
        file_size=len(data),
        main_memory=model.buf_size,
        layers=_layers(steps, done),
        calibration_images=len(images),
        agreement=agreement(wanted, got),
        output_snr_db=snr_db(wanted, got),
        warnings=(*warnings, *_port_warnings(steps, model), *_noise_warnings(done)),
        notes=_notes(steps, model),
    )


def _layers(steps: tuple[Step, ...], done: list[QuantisedStep]) -> tuple[LayerReport, ...]:
    reports = []
    for i, step in enumerate(steps):
        count, height, width, channels = step.out_dims
        shape = (channels, height, width) if count == 3 else (channels,)
        values = done[i].levels.range if done else (0.0, 0.0)
        quality = done[i].snr_db if done else None
        reports.append(LayerReport(step.layer, step.title, "CPU", shape, values, quality))
    return tuple(reports)


def _port_warnings(steps: tuple[Step, ...], model: Model) -> list[str]:
    return [
        f"{steps[need.layer].layer}: it needs {macro} {need.value}; a stock tm_port.h has {STOCK[macro]}. Raise it "
        "there, or the model writes past TinyMaix's arrays; the C header stops the compiler."
        for macro, need in needs(model).items()
        if need.value > STOCK[macro]
    ]


def _noise_warnings(done: list[QuantisedStep]) -> list[str]:
    return [
        f"{quantised.step.layer}: the signal-to-noise ratio is only {quantised.snr_db:.1f} dB on the calibration "
        "images. Calibrate with images of all labels, or train with ReLU6."
        for quantised in done
        if quantised.snr_db < LOW_SNR_DB
    ]


def _notes(steps: tuple[Step, ...], model: Model) -> tuple[str, ...]:
    notes = [
        f"Give tm_preprocess the camera's RGB bytes, pixel by pixel, with TMPP_{model.preprocess.name}.",
        f"Beside the buffer, TinyMaix's own arrays take {static_bytes(model)} bytes if tm_port.h is cut to this model.",
    ]
    if steps[0].kind == "conv" and not steps[0].gives_layer:
        notes.append(
            f"{steps[0].layer}: TinyMaix pads with one grey, and the channel means are others; a 1x1 convolution that "
            "only normalises comes first. Train with mean 0 to save it."
        )
    for step in steps:
        if step.kind == "depthwise" and step.sources[0] >= 0 and not steps[step.sources[0]].gives_layer:
            notes.append(
                f"{step.layer}: TinyMaix's addition has no {step.act}; a depthwise 3x3 that copies its input does it."
            )
    return tuple(notes)
