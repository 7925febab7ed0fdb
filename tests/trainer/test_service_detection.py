"""Detection over gRPC beside a real collector: from boxed pictures to a model that finds things."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from tests.trainer.scenes import LABELS, scene_jpegs
from tests.trainer.world import World, pb

TARGET = "k210-kmodel-v3"
SMALL = {
    "backbone": "tiny_cnn", "input_size": 128, "weights": "none", "batch_size": 4, "learning_rate": 6e-3,
    "max_accuracy_drop": 1.0,
}  # fmt: skip

EASY = SMALL | {"epochs": 12, "shift": 0.0, "zoom": 0.0, "brightness": 0.0, "contrast": 0.0}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_a_job_on_boxes_ends_with_a_measured_detector(world: World) -> None:
    job = world.wait(world.start_detection(64, **EASY))
    assert job.state == pb.JOB_STATE_DONE, job.error
    assert job.parameters.head == "yolo2" and job.parameters.negatives and job.parameters.weight_decay == 0.02
    assert all(epoch.detection.box_loss > 0 and epoch.detection.class_loss > 0 for epoch in job.epochs)
    best = max(epoch.detection.map50 for epoch in job.epochs)
    assert best > 0.1 and any(f"mAP50 {best:.3f} in float" in line for line in job.log)

    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert (model.task, model.head, list(model.labels)) == ("detection", "yolo2", list(LABELS))
    assert len(model.anchors) == 10 and all(side > 0 for side in model.anchors)
    file = model.files[0]
    assert model.evaluation.mean_average_precision == pytest.approx(best)
    for evaluation in (model.evaluation, file.evaluation):
        assert evaluation.task == "detection" and evaluation.images == file.evaluation.images > 14
        assert sum(one.support for one in evaluation.classes) > 8
        assert max(one.ap50 for one in evaluation.classes) >= evaluation.mean_average_precision > 0
    scores = {one["name"]: one for one in json.loads(file.fidelity_json)["scores"]}
    assert scores["mAP50"]["converted"] == pytest.approx(file.evaluation.mean_average_precision)

    picture, truths = scene_jpegs(2)[1]
    for target in ("", TARGET):
        answer = world.models.Predict(pb.PredictRequest(model_id=model.id, target=target, jpeg=picture))
        assert not answer.logits and len(answer.objects) <= 2 * len(truths)
        assert all(0 <= one.left < one.right <= 1 and one.confidence > 0.5 for one in answer.objects)
        request = pb.PredictRequest(model_id=model.id, target=target, jpeg=picture, confidence=0.01)
        unsure = world.models.Predict(request).objects
        assert len(unsure) > len(answer.objects) == sum(one.confidence > 0.5 for one in unsure)
    request = pb.DownloadModelRequest(model_id=model.id, target=TARGET, package="k210-zip")
    archive = b"".join(block.data for block in world.models.DownloadModel(request))
    program = zipfile.ZipFile(io.BytesIO(archive)).read("main.py").decode()
    assert "yolo" in program and f"{model.anchors[0]:.3f}"[:4] in program


def test_a_detector_sees_pictures_of_the_camera_s_shape(world: World) -> None:
    job = world.wait(world.start_detection(16, **SMALL | {"epochs": 1, "input_size": 160, "input_height": 128}))
    assert job.state == pb.JOB_STATE_DONE, job.error
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    golden = world.models.GetGolden(pb.GetGoldenRequest(model_id=model.id, target=TARGET))
    assert (golden.width, golden.height) == (160, 128) == (model.input_size, model.input_height)
    assert len(golden.cases[0].output) == 5 * (5 + len(LABELS)) * 4 * 5  # a map of 4 by 5 cells
    picture, _ = scene_jpegs(2)[1]
    for target in ("", TARGET):
        world.models.Predict(pb.PredictRequest(model_id=model.id, target=target, jpeg=picture))


@pytest.mark.parametrize("asked", [{"head": "classifier"}, {"distil": "mobilenet_v1_1.0"}, {"head": "yolo9"}])
def test_what_does_not_fit_a_version_of_boxes_is_refused_at_once(world: World, asked: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"head|distil"):
        world.start_detection(6, **asked)


def test_a_detector_on_labels_is_refused_at_once(world: World) -> None:
    with pytest.raises(InvalidInput, match="for classification, and the head yolo2"):
        world.start_job(8, head="yolo2")


def test_an_anchor_free_job_is_for_boards_that_decode_its_map(world: World) -> None:
    asked = SMALL | {"epochs": 1, "input_size": 96, "head": "anchor_free", "target": "web-onnx"}
    job = world.wait(world.start_detection(16, **asked))
    assert job.state == pb.JOB_STATE_DONE, job.error
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert (model.task, model.head, list(model.anchors)) == ("detection", "anchor_free", [])
    picture, _ = scene_jpegs(2)[1]
    for target in ("", "web-onnx"):
        answer = world.models.Predict(pb.PredictRequest(model_id=model.id, target=target, jpeg=picture))
        assert not answer.logits

    parameters = pb.TrainingParameters(**asked | {"target": TARGET})
    names = {"project_id": job.project_id, "version_id": job.version_id, "parameters": parameters}
    for refused in (
        lambda: world.training.StartJob(pb.StartJobRequest(**names)),
        lambda: world.training.CheckTraining(pb.CheckTrainingRequest(**names)),
        lambda: world.models.ConvertModel(pb.ConvertModelRequest(model_id=model.id, target=TARGET)),
    ):
        with pytest.raises(UnsupportedModel, match=r"k210-kmodel-v3 know YOLOv2 only.*"):
            refused()
    parameters = pb.TrainingParameters(epochs=1, weights=f"model:{model.id}", target="web-onnx")
    again = world.training.CheckTraining(pb.CheckTrainingRequest(**names | {"parameters": parameters}))
    assert again.parameters.head == "anchor_free"
