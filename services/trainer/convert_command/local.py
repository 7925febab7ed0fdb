"""A conversion on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from services.common.errors import InvalidInput, UnsupportedModel
from services.common.fidelity import Fidelity
from services.trainer.blame import blamed
from services.trainer.choices import Choices
from services.trainer.convert import TARGETS, ConvertedModel, convert
from services.trainer.convert.common import file_stem
from services.trainer.convert_command.folder import Picture, find_pictures, read_images, split
from services.trainer.convert_command.outcome import Outcome, data_address
from services.trainer.convert_command.source import load_graph
from services.trainer.fidelity import Outputs, Samples, check_drop, compare, float_outputs, simulate
from services.trainer.fidelity_detector import compare_detector
from services.trainer.graph import Graph
from services.trainer.packages import PackageContent, build

__all__ = ["convert_here"]


def convert_here(
    path: Path,
    target: str,
    images: Path,
    labels: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    choices: Choices,
    package: str,
    tell: Callable[[int, int], None],
) -> tuple[Outcome, UnsupportedModel | None]:
    """The outcome, and the ACCURACY_DROP that forbids its file; `tell(simulated so far, in all)`.

    Raises BoardloopError for a model, a picture or an option that cannot be right.
    """
    graph = load_graph(path, labels, mean, std)
    collection = split(find_pictures(images))
    _check_labels(graph, collection.measured, images)
    calibration = read_images(collection.calibration, graph.input)
    measured = read_images(collection.measured, graph.input)
    wanted = float_outputs(graph, measured)
    model = convert(graph, target, calibration, choices.options())
    got = simulate(model, measured, lambda done: tell(done, len(measured)))
    fidelity = _compared(graph, model, wanted, got, collection.measured, choices.max_accuracy_drop)
    fidelity = blamed(fidelity, graph, calibration, choices.options())
    by_name = {picture.name: picture for picture in collection.measured}
    refusal, files = None, {}
    try:
        check_drop(fidelity)
        files = _files(graph, model, fidelity, package)
    except UnsupportedModel as error:
        if error.reason != "ACCURACY_DROP":
            raise
        refusal = error
    return Outcome(
        graph.name,
        target,
        model.report.to_json(),
        fidelity,
        lambda name: data_address(by_name[name].path.read_bytes(), name),
        files,
        collection.shared,
    ), refusal


def _check_labels(graph: Graph, pictures: Sequence[Picture], folder: Path) -> None:
    if graph.kind != "classifier" or not pictures[0].label:
        return
    if not graph.labels:
        names = ",".join(sorted({picture.label for picture in pictures}))
        raise InvalidInput(
            "LABELS_MISSING",
            f"{folder} has a sub-folder for each label, but the network does not say which output is which.",
            fix=f"Give --labels in the order of the outputs, for example --labels {names}.",
        )
    unknown = sorted({picture.label for picture in pictures} - set(graph.labels))
    if unknown:
        raise InvalidInput(
            "LABEL_UNKNOWN",
            f"The model does not know the labels {', '.join(unknown)}; it knows {', '.join(graph.labels)}.",
            fix="Name the sub-folders like the model's labels.",
        )


def _compared(
    graph: Graph, model: ConvertedModel, wanted: Outputs, got: Outputs, pictures: Sequence[Picture], limit: float
) -> Fidelity:
    names = [picture.name for picture in pictures]
    if graph.kind != "classifier":
        known = any(picture.objects is not None for picture in pictures)
        truths = [picture.objects or () for picture in pictures] if known else None
        return compare_detector(graph, model.report, wanted, got, names, truths, limit)
    labels = [picture.label for picture in pictures]
    return compare(graph, model.report, wanted, got, Samples(names, labels if all(labels) else None), limit)


def _files(graph: Graph, model: ConvertedModel, fidelity: Fidelity, package: str) -> dict[str, bytes]:
    target = TARGETS[model.target]
    files = target.unpack(model.data, file_stem(graph.name), target.suffix)
    if package:
        content = PackageContent(
            model_id=hashlib.sha256(model.data).hexdigest()[:12],
            name=graph.name,
            target=model.target,
            data=model.data,
            labels=graph.labels,
            input=graph.input,
            anchors=graph.anchors,
            report=model.report.to_json(),
            fidelity=fidelity.to_json(),
        )
        name, archive = build(package, content)
        files[name] = archive
    return files
