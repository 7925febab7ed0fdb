"""From the best checkpoint to a measured file for a chip: `python -m services.trainer.conversion JOB_DIR TARGET`.

    best.pt ──► float outputs of the validation split ──► evaluation.json
       └──► graph ──► convert, calibrated on pictures of the TRAIN split ──► converted/TARGET/<file>
                         │        once more with the weights of quantised.pt, when there are any: the better is kept
                         └──► simulate the whole validation split ──► converted/TARGET/result.json, golden.npz
                                  └──► fidelity: a drop over the limit of conversion.json fails here

The second child process of a job, so that a converter that crashes takes nothing with it. It prints JSON events like
services.trainer.loop: {"type": "evaluated", measure, quality} (accuracy or mAP50, and its value) ·
{"type": "progress", stage, done, total, file, files} · {"type": "done", measure, quality, agreement}.
What the fine-tuning brought is a {"type": "log", message}.
`check` tries whether the chip can run such a network at all, before anybody waits for a training.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import BoardloopError
from services.trainer.blame import blamed
from services.trainer.children import error_event
from services.trainer.choices import Choices
from services.trainer.config import parse_config
from services.trainer.convert import ConvertedModel, convert
from services.trainer.detection.anchors import ANCHORS
from services.trainer.detection_evaluation import AnyEvaluation
from services.trainer.fidelity import Fidelity, check_drop, simulate
from services.trainer.graph import Graph
from services.trainer.judging import judge_of
from services.trainer.loop import Checkpoint, load_checkpoint, predict
from services.trainer.networks import build, graph_of
from services.trainer.pictures import Item, Pictures, read_items, read_labels
from services.trainer.quantisation.choice import Candidate, better
from services.trainer.quantisation.tune import tuned_graph
from services.trainer.registry import ConversionResult, Golden

__all__ = ["check", "finish"]

Emit = Callable[[dict[str, Any]], None]
Images = npt.NDArray[np.uint8]

GOLDEN_CASES = 2
_ANY_ANCHORS = ((1.0, 1.0),) * ANCHORS  # a converter takes whatever there are, as long as they are so many
_CHECK_IMAGES = 4  # the least a converter calibrates with


def finish(folder: Path, target: str, emit: Emit) -> ConversionResult:
    """Evaluate, convert and simulate the job folder's best.pt; writes the files above."""
    kept = load_checkpoint(folder / "best.pt")
    items = read_items(folder)
    validation = [item for item in items if item.split == "validation"]
    budget = kept.config.cache_mib * 2**20
    images = Pictures(folder, validation, kept.config.input_size, kept.config.height, budget)  # by parts where too many
    graph = graph_of(kept.model, kept.config, kept.labels)
    judge = judge_of(graph, validation)
    outputs = predict(kept.model, images)
    evaluation = judge.evaluated(outputs)
    values = {**evaluation.to_dict(), "anchors": graph.anchors}
    (folder / "evaluation.json").write_text(json.dumps(values))
    emit(_quality("evaluated", evaluation))

    chosen = Choices.read(folder)
    options = chosen.options()
    train = [item for item in items if item.split == "train"]
    calibration = _images(folder, _spread(train, options.max_calibration_images), kept)

    files = 2 if tuned_graph(folder, graph, target) else 1

    def candidate(network: Graph) -> Candidate:
        span = {"file": 1 if network is graph else 2, "files": files, "total": len(images)}
        emit(_progress(f"converting for {target}", 0, span))
        model = convert(network, target, calibration, options)
        tell = partial(_progress, f"simulating {model.file_name}", span=span)
        return Candidate(network, model, simulate(model, images, lambda done: emit(tell(done))))

    def score(simulated: npt.NDArray[np.float32]) -> float:
        return judge.evaluated(simulated).quality[1]

    best = better(folder, candidate(graph), candidate, score, evaluation.quality[0], partial(_log, emit))
    model, simulated = best.model, best.outputs
    fidelity = judge.compared(model.report, outputs, simulated, chosen.max_accuracy_drop)
    check_drop(blamed(fidelity, best.graph, calibration, options))
    converted = judge.evaluated(simulated)
    result = _result(model, converted, fidelity)
    out = folder / "converted" / target
    out.mkdir(parents=True, exist_ok=True)
    (out / model.file_name).write_bytes(model.data)
    (out / "golden.npz").write_bytes(golden_cases(images, simulated).pack())
    (out / "result.json").write_text(json.dumps(vars(result)))
    emit({**_quality("done", converted), "agreement": result.agreement})
    return result


def check(folder: Path, target: str) -> None:
    """UnsupportedModel when the network of config.json, untrained, cannot be converted for `target`."""
    config = parse_config((folder / "config.json").read_text())
    labels = read_labels(folder, read_items(folder))
    width, height = config.input_size, config.height
    graph = graph_of(build(config, len(labels), _ANY_ANCHORS).eval(), config, labels)
    images = np.random.default_rng(0).integers(0, 256, (_CHECK_IMAGES, 3, height, width), dtype=np.uint8)
    convert(graph, target, images, replace(Choices.read(folder).options(), bias_correction=False))


def golden_cases(images: Images | Pictures, outputs: npt.NDArray[np.float32]) -> Golden:
    """Up to two validation pictures, of different answers where there are any, with the simulated outputs."""
    answers = outputs.argmax(axis=1)
    chosen = [0, *np.flatnonzero(answers != answers[0])[:1], *range(1, len(images))][:GOLDEN_CASES]
    return Golden(images[chosen], outputs[chosen].astype(np.float32))


def _images(folder: Path, items: list[Item], kept: Checkpoint) -> Images:
    return Pictures(folder, items, kept.config.input_size, kept.config.height, budget=0)[range(len(items))]


def _spread(items: list[Item], count: int) -> list[Item]:
    """At most `count` items at even distances."""
    if len(items) <= count:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _quality(kind: str, evaluation: AnyEvaluation) -> dict[str, Any]:
    measure, value = evaluation.quality
    return {"type": kind, "measure": measure, "quality": value}


def _progress(stage: str, done: int, span: dict[str, int]) -> dict[str, Any]:
    return {"type": "progress", "stage": stage, "done": done, **span}


def _log(emit: Emit, message: str) -> None:
    emit({"type": "log", "message": message})


def _result(model: ConvertedModel, evaluation: AnyEvaluation, fidelity: Fidelity) -> ConversionResult:
    report = model.report
    ram = max((memory.bytes for memory in report.board_memory), default=report.file_size + report.main_memory)
    digest = hashlib.sha256(model.data).hexdigest()
    return ConversionResult(
        model.target,
        model.format,
        model.file_name,
        len(model.data),
        digest,
        fidelity.agreement,
        ram,
        evaluation.to_dict(),
        report.to_json(),
        fidelity.to_json(),
    )


def main(arguments: list[str]) -> int:
    """Print the events; 0 when done, 1 after an error event."""
    os.nice(5)

    def emit(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True)

    folder, target = Path(arguments[0]), arguments[1]
    try:
        finish(folder, target, emit)
    except BoardloopError as error:
        emit(error_event(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
