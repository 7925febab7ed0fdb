from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from services.common.errors import FailedPrecondition, InvalidInput
from services.trainer.convert import convert, simulator
from services.trainer.convert.contract import ConvertOptions
from services.trainer.detection import average_precision
from services.trainer.detection_augment import DetectionAugment
from services.trainer.detection_loop import DetectionTraining, Progress, train_detector
from services.trainer.detector import Detector, detections, detector_graph
from services.trainer.graph import Conv, Graph
from tests.trainer.detection.drawn import LABELS, drawn_scenes

SIZE = 128  # the smallest that a K210's last map allows
QUICK = DetectionTraining(
    backbone="darknet_slim_0.5", neck=32, steps=120, batch_size=8, learning_rate=4e-3, warmup_steps=10,
    augment=DetectionAugment(shift=0, zoom=0),
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def graph_of(model: Detector) -> Graph:
    return detector_graph(model, LABELS, SIZE, SIZE)


@cache
def trained() -> tuple[Graph, tuple[Progress, ...]]:
    told: list[Progress] = []
    images, truths = drawn_scenes(256, SIZE)
    return graph_of(train_detector(images, truths, len(LABELS), QUICK, tell=told.append)), tuple(told)


def map50(outputs: np.ndarray) -> float:
    graph, _ = trained()
    return average_precision(detections(outputs, graph), drawn_scenes(40, SIZE, seed=1)[1], LABELS).map50


def test_finds_discs_and_bars_in_new_scenes() -> None:
    graph, told = trained()
    assert [progress.step for progress in told] == list(range(1, QUICK.steps + 1))
    assert told[-1].loss < told[0].loss / 3
    assert map50(graph.run_float(drawn_scenes(40, SIZE, seed=1)[0])) > 0.9


def test_the_kmodel_finds_as_much_as_the_float_network() -> None:
    graph, _ = trained()
    test = drawn_scenes(40, SIZE, seed=1)[0]
    model = convert(graph, "k210-kmodel-v3", drawn_scenes(16, SIZE)[0], ConvertOptions())
    assert map50(simulator(model.target, model.data).run(test)) >= map50(graph.run_float(test)) - 0.02


def weights(training: DetectionTraining) -> np.ndarray:
    graph = graph_of(train_detector(*drawn_scenes(16), len(LABELS), training))
    return np.concatenate([layer.weight.ravel() for layer in graph.layers if isinstance(layer, Conv)])


def test_the_same_seed_gives_the_same_detector() -> None:
    short = replace(QUICK, steps=3)
    first = weights(short)
    assert np.array_equal(weights(short), first)
    assert not np.array_equal(weights(replace(short, seed=1)), first)


def test_too_few_boxes_are_refused_before_the_training() -> None:
    with pytest.raises(InvalidInput, match="3 boxes"):
        train_detector(drawn_scenes(3)[0], [items[:1] for items in drawn_scenes(3)[1]], len(LABELS), QUICK)


def test_a_diverged_training_says_so() -> None:
    with pytest.raises(FailedPrecondition, match="diverged") as caught:
        train_detector(*drawn_scenes(16), len(LABELS), replace(QUICK, steps=20, learning_rate=1e20, warmup_steps=0))
    assert "learning_rate" in caught.value.fix
