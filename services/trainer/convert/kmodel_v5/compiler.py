"""nncase as two functions: a network or an ONNX file to a kmodel V5, a kmodel V5 and images to floats.

Seconds are taken inside the process that holds nncase: without its start, without reading and writing files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from services.common.errors import InvalidInput
from services.trainer.convert.contract import Images, Outputs
from services.trainer.convert.kmodel_v5.prepare import Normalisation, prepare
from services.trainer.convert.kmodel_v5.process import Worker
from services.trainer.convert.kmodel_v5.schedule import Operator, read_schedule
from services.trainer.graph import Graph

__all__ = ["CalibrateMethod", "Compiled", "Simulated", "compile", "simulate"]

CalibrateMethod = Literal["no_clip", "l2", "kld_m0", "kld_m1", "kld_m2", "cdf"]
OPSET = 11  # read by 1.1 and 1.9
COMPILE_SECONDS = 1800.0
SIMULATE_SECONDS, SIMULATE_SECONDS_EACH = 60.0, 60.0


@dataclass(frozen=True)
class Compiled:
    """`operators`: what runs, in order, when the schedule was asked for."""

    data: bytes = field(repr=False)
    seconds: float  # import, calibration, quantisation and code generation
    operators: tuple[Operator, ...] = ()


@dataclass(frozen=True)
class Simulated:
    outputs: Outputs  # (n, outputs)
    seconds: float  # of all images, input and run


def compile(
    model: Graph | bytes,
    calibration_u8: Images,
    *,
    version: str = "1.9",
    use_mse_quant_w: bool = True,
    calibrate_method: CalibrateMethod = "no_clip",
    normalisation: Normalisation | None = None,
    schedule: bool = False,
) -> Compiled:
    """`model` for the K210 by nncase "1.9" or "1.1", calibrated on all images (n, c, h, w) uint8.

    A graph is prepared for the KPU first (prepare.py). An ONNX file is taken as it is: one float32 input (1, c, h, w);
    `normalisation` says what its pixels are, x = u8/255 without. Errors: those of `environment` and `Worker.ask`.
    """
    if calibration_u8.dtype != np.uint8 or calibration_u8.ndim != 4 or not len(calibration_u8):
        raise InvalidInput(
            "CALIBRATION_SHAPE",
            f"calibration images are {calibration_u8.dtype} {calibration_u8.shape}, nncase needs uint8 (n, c, h, w).",
            fix="Give images of the network's input size, RGB planar, one byte per channel.",
        )
    if isinstance(model, Graph):
        from services.trainer.convert.onnx_file.write import to_onnx

        prepared = prepare(model)
        normalisation = prepared.normalisation
        model = to_onnx(prepared.graph, opset=OPSET)
    normalisation = normalisation or Normalisation()
    with Worker(version) as worker:
        onnx, images, kmodel = (worker.folder / name for name in ("model.onnx", "images.npy", "model.kmodel"))
        onnx.write_bytes(model)
        np.save(images, np.ascontiguousarray(calibration_u8))
        dump = worker.folder / "dump"
        answer = worker.ask(
            "compile",
            COMPILE_SECONDS,
            onnx=onnx,
            images=images,
            kmodel=kmodel,
            input_range=normalisation.input_range,
            mean=normalisation.mean,
            std=normalisation.std,
            calibrate_method=calibrate_method,
            mse_weights=use_mse_quant_w,
            dump=str(dump) if schedule else "",
        )
        operators = read_schedule(dump) if schedule else ()
        return Compiled(kmodel.read_bytes(), float(answer["seconds"]), operators)


def simulate(kmodel: bytes, images_u8: Images, *, version: str = "1.9") -> Simulated:
    """nncase's own simulator of the K210 on uint8 images (n, c, h, w). For one after the other: `KModelV5Simulator`."""
    with Worker(version) as worker:
        load(worker, kmodel)
        return run(worker, images_u8)


def load(worker: Worker, kmodel: bytes) -> None:
    path = worker.folder / "model.kmodel"
    path.write_bytes(kmodel)
    worker.ask("load", SIMULATE_SECONDS, kmodel=path)


def run(worker: Worker, images_u8: Images) -> Simulated:
    images, outputs = worker.folder / "images.npy", worker.folder / "outputs.npy"
    np.save(images, np.ascontiguousarray(images_u8))
    limit = SIMULATE_SECONDS + SIMULATE_SECONDS_EACH * len(images_u8)
    answer = worker.ask("simulate", limit, images=images, outputs=outputs)
    return Simulated(np.load(outputs), float(answer["seconds"]))
