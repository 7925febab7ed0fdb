from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch

from services.common.errors import UnsupportedModel
from services.trainer.anchor_free import AnchorFreeDetector, anchor_free_graph, train_anchor_free
from services.trainer.convert import TARGETS, convert, simulator
from services.trainer.convert.ncnn.archive import Archive
from services.trainer.convert.onnx_file.read import from_onnx
from services.trainer.detection import average_precision
from services.trainer.detection_augment import DetectionAugment
from services.trainer.detection_loop import DetectionTraining
from services.trainer.detector import detections
from services.trainer.graph import Graph
from tests.trainer.detection.drawn import LABELS, drawn_scenes

SIZE = 96
QUICK = DetectionTraining(
    backbone="mobilenet_v1_0.25", neck=32, steps=200, batch_size=8, learning_rate=4e-3, warmup_steps=10,
    augment=DetectionAugment(shift=0, zoom=0),
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def trained() -> Graph:
    return anchor_free_graph(train_anchor_free(*drawn_scenes(256, SIZE), len(LABELS), QUICK), LABELS, SIZE, SIZE)


def test_the_files_say_what_their_map_is() -> None:
    graph = anchor_free_graph(AnchorFreeDetector("mobilenet_v1_0.25", 2, 16).eval(), LABELS, SIZE, SIZE)
    pictures = drawn_scenes(8, SIZE)[0]
    assert from_onnx(convert(graph, "web-onnx", pictures).data).head == "anchor_free"
    assert Archive.read(convert(graph, "linux-ncnn-fp16", pictures).data).description.head == "anchor_free"


def map50(outputs: np.ndarray) -> float:
    return average_precision(detections(outputs, trained()), drawn_scenes(40, SIZE, seed=1)[1], LABELS).map50


@pytest.mark.parametrize(("target", "loss"), [("web-onnx", 0.01), ("linux-ncnn-fp16", 0.03), ("linux-ncnn-int8", 0.1)])
def test_it_finds_objects_in_new_scenes_and_so_do_its_files(target: str, loss: float) -> None:
    test = drawn_scenes(40, SIZE, seed=1)[0]
    reached = map50(trained().run_float(test))
    model = convert(trained(), target, drawn_scenes(16, SIZE)[0])
    assert reached > 0.85 and map50(simulator(target, model.data).run(test)) > reached - loss


@pytest.mark.parametrize("target", [one for one in TARGETS if one.startswith(("k210", "v831", "mcu"))])
def test_chips_whose_decoders_know_yolo2_only_refuse_it_in_words(target: str) -> None:
    graph = anchor_free_graph(AnchorFreeDetector("tiny_cnn", 2, 16).eval(), LABELS, SIZE, SIZE)
    with pytest.raises(UnsupportedModel, match="YOLOv2 only"):
        convert(graph, target, drawn_scenes(4, SIZE)[0])
