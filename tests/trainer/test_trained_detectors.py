"""What the files of a detector find when a job's own loop has trained it long enough to find nearly everything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from services.trainer.checkpoints import load_checkpoint
from services.trainer.convert import convert, simulator
from services.trainer.detection import Truth, average_precision
from services.trainer.detector import detections
from services.trainer.graph import Graph
from services.trainer.loop import train
from services.trainer.networks import graph_of
from tests.trainer.detection.drawn import LABELS, drawn_scenes
from tests.trainer.scenes import write_scenes


@dataclass(frozen=True)
class Trained:
    """A network and scenes that it has not seen."""

    graph: Graph

    @property
    def size(self) -> int:
        return self.graph.input.height

    def map50(self, outputs: np.ndarray) -> float:
        return average_precision(detections(outputs, self.graph), self.unseen()[1], LABELS).map50

    def unseen(self) -> tuple[np.ndarray, list[list[Truth]]]:
        return drawn_scenes(40, self.size, seed=1)

    def loss(self, target: str) -> float:
        """mAP50 that the file of a target is below the float network."""
        images = self.unseen()[0]
        model = convert(self.graph, target, drawn_scenes(16, self.size)[0])
        return self.map50(self.graph.run_float(images)) - self.map50(simulator(target, model.data).run(images))


def trained(factory: pytest.TempPathFactory, **config: object) -> Trained:
    quick = {"rotate": 0.0, "learning_rate": 4e-3, "epochs": 6, "keep": "last", "ema": 0.95}
    folder = write_scenes(factory.mktemp("trained") / "job", train=256, validation=4, **quick | config)
    train(folder, lambda event: None)
    kept = load_checkpoint(folder / "best.pt")
    return Trained(graph_of(kept.model, kept.config, kept.labels))


@pytest.fixture(scope="module")
def yolo2(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """128 is the smallest that a K210's last map allows."""
    return trained(tmp_path_factory, backbone="darknet_slim_0.5", input_size=128)


@pytest.fixture(scope="module")
def anchor_free(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory, head="anchor_free", backbone="mobilenet_v1_0.25", epochs=9)


def test_yolo2_finds_discs_and_bars_in_new_scenes_and_so_does_its_kmodel(yolo2: Trained) -> None:
    assert yolo2.map50(yolo2.graph.run_float(yolo2.unseen()[0])) > 0.85
    assert yolo2.loss("k210-kmodel-v3") < 0.02


@pytest.mark.parametrize(("target", "most"), [("web-onnx", 0.01), ("linux-ncnn-fp16", 0.03), ("linux-ncnn-int8", 0.1)])
def test_anchor_free_finds_objects_in_new_scenes_and_so_do_its_files(
    anchor_free: Trained, target: str, most: float
) -> None:
    assert anchor_free.map50(anchor_free.graph.run_float(anchor_free.unseen()[0])) > 0.85
    assert anchor_free.loss(target) < most
