"""A detector evaluated over gRPC: its own figures come out again, every object has its outcome."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.common.errors import FailedPrecondition
from services.rpc.boardloop.collector.v1 import collector_pb2
from tests.trainer.conftest import jpeg
from tests.trainer.scenes import LABELS
from tests.trainer.world import World, pb

TARGET = "k210-kmodel-v3"
SMALL = {
    "backbone": "tiny_cnn", "input_size": 128, "weights": "none", "batch_size": 4, "learning_rate": 6e-3, "epochs": 2,
    "max_accuracy_drop": 1.0, "target": TARGET,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


@pytest.fixture(scope="module")
def model(world: World) -> pb.Model:
    job = world.wait(world.start_detection(32, **SMALL))
    assert job.state == pb.JOB_STATE_DONE, job.error
    return world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model


def test_the_conversions_own_figures_come_out_again(world: World, model: pb.Model) -> None:
    request = pb.StartEvaluationRequest(model_id=model.id, version_id=model.version_id, target=TARGET, confidence=0.01)
    started = world.evaluations.StartEvaluation(request).evaluation
    watch = pb.WatchEvaluationRequest(evaluation_id=started.id)
    done = [answer.evaluation for answer in world.evaluations.WatchEvaluation(watch, timeout=120)][-1]
    assert done.state == pb.EVALUATION_STATE_DONE, done.error
    figures, measured = done.figures, model.files[0].evaluation
    assert figures.task == "detection" and figures.images == measured.images
    assert figures.mean_average_precision == pytest.approx(measured.mean_average_precision, abs=1e-4)
    objects = sum(one.support for one in figures.qualities)
    assert figures.found_boxes + figures.missed_boxes + figures.confused_boxes == objects > 0
    listed = world.evaluations.ListOutcomes(pb.ListOutcomesRequest(evaluation_id=done.id, kind="wrong", page_size=500))
    assert listed.total == figures.images - figures.right_images
    assert all(box.kind in ("found", "missed", "confused", "false") for one in listed.outcomes for box in one.boxes)


def test_a_version_for_classification_is_refused(world: World, model: pb.Model) -> None:
    for number, label in enumerate(LABELS):
        for seed in range(10):
            picture = jpeg("ring", 100 * number + seed)
            world.captures.UploadCapture(
                collector_pb2.UploadCaptureRequest(project_id=model.project_id, label=label, jpeg=picture)
            )
    create = collector_pb2.CreateVersionRequest(project_id=model.project_id, seed=1, validation_share=0.3)
    version = world.datasets.CreateVersion(create).version
    with pytest.raises(FailedPrecondition, match="for classification"):
        world.evaluations.StartEvaluation(pb.StartEvaluationRequest(model_id=model.id, version_id=version.id))
