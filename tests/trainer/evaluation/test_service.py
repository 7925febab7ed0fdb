"""Evaluations over gRPC beside a real collector: one quickly trained model, on several versions and targets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.rpc.boardloop.collector.v1 import collector_pb2
from tests.trainer.conftest import jpeg
from tests.trainer.world import World, pb

TARGET = "k210-kmodel-v3"
ENDED = (
    pb.EVALUATION_STATE_DONE, pb.EVALUATION_STATE_FAILED, pb.EVALUATION_STATE_STOPPED, pb.EVALUATION_STATE_INTERRUPTED,
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


@pytest.fixture(scope="module")
def model(world: World) -> pb.Model:
    parameters = {"backbone": "mobilenet_v1_0.25", "input_size": 128, "epochs": 1, "weights": "none"}
    job = world.wait(world.start_job(count=48, **parameters))
    assert job.state == pb.JOB_STATE_DONE, job.error
    return world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model


@pytest.fixture(scope="module")
def newer(world: World, model: pb.Model) -> str:
    """A version with eight more pictures, of a label that the model does not know."""
    labels = collector_pb2.SetLabelsRequest(project_id=world.project_id, labels=["ring", "bars", "dots"])
    world.projects.SetLabels(labels)
    for seed in range(8):
        picture = jpeg("ring", 500 + seed)
        world.captures.UploadCapture(
            collector_pb2.UploadCaptureRequest(project_id=world.project_id, label="dots", jpeg=picture)
        )
    create = collector_pb2.CreateVersionRequest(project_id=world.project_id, seed=2, validation_share=0.3)
    return world.datasets.CreateVersion(create).version.id


def start(world: World, model: pb.Model, version: str = "", target: str = TARGET, **fields: Any) -> pb.EvaluationJob:
    fields["target"] = target  # the simulator's child is there sooner than torch's
    request = pb.StartEvaluationRequest(model_id=model.id, version_id=version or model.version_id, **fields)
    return world.evaluations.StartEvaluation(request).evaluation


def ended(world: World, evaluation: pb.EvaluationJob) -> pb.EvaluationJob:
    seen = world.evaluations.WatchEvaluation(pb.WatchEvaluationRequest(evaluation_id=evaluation.id), timeout=120)
    last = [answer.evaluation for answer in seen][-1]
    assert last.state in ENDED
    return last


@pytest.fixture(scope="module")
def validated(world: World, model: pb.Model) -> pb.EvaluationJob:
    return ended(world, start(world, model))


def outcomes(world: World, evaluation: pb.EvaluationJob, **wanted: Any) -> pb.ListOutcomesResponse:
    return world.evaluations.ListOutcomes(pb.ListOutcomesRequest(evaluation_id=evaluation.id, **wanted))


@pytest.mark.parametrize("target", ["", TARGET])
def test_the_trainings_own_figures_come_out_again(world: World, model: pb.Model, target: str) -> None:
    evaluation = ended(world, start(world, model, target=target))
    assert evaluation.state == pb.EVALUATION_STATE_DONE, evaluation.error
    measured = model.files[0].evaluation if target else model.evaluation
    figures = evaluation.figures
    assert figures.accuracy == measured.accuracy and list(figures.confusion) == list(measured.confusion)
    assert sorted(figures.wrong_capture_ids) == sorted(measured.wrong_capture_ids)
    assert figures.seen_images == 0 and figures.qualities[0].curve_recall[-1] == 1


def test_pictures_that_were_trained_on_are_counted(world: World, model: pb.Model) -> None:
    figures = ended(world, start(world, model, part="all")).figures
    assert figures.images == 48 and figures.seen_images == 48 - model.evaluation.images
    assert {subset.name for subset in figures.subsets if subset.kind == "seen"} == {"yes", "no"}


def test_a_label_that_the_model_does_not_know_is_named_and_wrong(world: World, model: pb.Model, newer: str) -> None:
    evaluation = ended(world, start(world, model, newer, part="all"))
    assert evaluation.state == pb.EVALUATION_STATE_DONE, evaluation.error
    assert list(evaluation.figures.unknown_labels) == ["dots"] and evaluation.figures.images == 56
    assert list(evaluation.figures.labels) == ["ring", "bars", "dots"]
    unknown = outcomes(world, evaluation, truth="dots")
    assert unknown.total == 8 and not any(one.right for one in unknown.outcomes)


def test_outcomes_come_in_pages_and_by_cell(world: World, validated: pb.EvaluationJob) -> None:
    images = validated.figures.images
    first = outcomes(world, validated, page_size=4)
    assert len(first.outcomes) == 4 and first.total == images and first.next_page_token
    rest = outcomes(world, validated, page_size=500, page_token=first.next_page_token)
    assert len(rest.outcomes) == images - 4 and not rest.next_page_token
    for index, (truth, predicted) in enumerate((a, b) for a in ("ring", "bars") for b in ("ring", "bars")):
        assert outcomes(world, validated, truth=truth, predicted=predicted).total == validated.figures.confusion[index]
    assert outcomes(world, validated, kind="right").total == validated.figures.right_images


def test_two_evaluations_are_compared(world: World, model: pb.Model, validated: pb.EvaluationJob) -> None:
    other = ended(world, start(world, model, part="all"))
    assert not (world.folder / "jobs" / f"evaluation-{validated.id}").exists()
    request = pb.CompareEvaluationsRequest(first_id=validated.id, second_id=other.id)
    made = world.evaluations.CompareEvaluations(request)
    assert made.common_images == validated.figures.images and made.first_right == validated.figures.right_images
    assert made.second_right - made.first_right == len(made.mended) - len(made.broken)


def child() -> psutil.Process:
    for one in psutil.Process().children():
        if "services.trainer.evaluation.child" in one.cmdline():
            return one
    raise AssertionError("no evaluation runs")


def until_evaluating(world: World, evaluation: pb.EvaluationJob) -> None:
    stream = world.evaluations.WatchEvaluation(pb.WatchEvaluationRequest(evaluation_id=evaluation.id), timeout=120)
    for answer in stream:
        if answer.evaluation.state == pb.EVALUATION_STATE_EVALUATING:
            stream.cancel()
            return


def resume(world: World, evaluation: pb.EvaluationJob) -> pb.EvaluationJob:
    world.evaluations.ResumeEvaluation(pb.ResumeEvaluationRequest(evaluation_id=evaluation.id))
    return ended(world, evaluation)


def test_a_killed_worker_leaves_an_evaluation_that_can_go_on(world: World, model: pb.Model) -> None:
    evaluation = start(world, model)
    until_evaluating(world, evaluation)
    os.kill(child().pid, signal.SIGKILL)
    broken = ended(world, evaluation)
    assert broken.state == pb.EVALUATION_STATE_INTERRUPTED and "signal 9" in broken.error
    assert resume(world, evaluation).state == pb.EVALUATION_STATE_DONE


def test_a_stopped_one_is_resumed_and_one_that_has_ended_is_not_stopped(world: World, model: pb.Model) -> None:
    running, waiting = start(world, model), start(world, model)
    until_evaluating(world, running)
    for one in (waiting, running):
        world.evaluations.StopEvaluation(pb.StopEvaluationRequest(evaluation_id=one.id))
        assert ended(world, one).state == pb.EVALUATION_STATE_STOPPED
    with pytest.raises(FailedPrecondition, match="STOPPED"):
        world.evaluations.StopEvaluation(pb.StopEvaluationRequest(evaluation_id=running.id))
    with pytest.raises(FailedPrecondition, match="no answers yet"):
        outcomes(world, running)
    assert resume(world, running).state == pb.EVALUATION_STATE_DONE


def test_a_restarted_server_goes_on_with_what_it_had(world: World, model: pb.Model) -> None:
    running, waiting = start(world, model), start(world, model)
    until_evaluating(world, running)
    world.restart_trainer()
    interrupted = ended(world, running)
    assert interrupted.state == pb.EVALUATION_STATE_INTERRUPTED and "Resume" in interrupted.error
    assert ended(world, waiting).state == pb.EVALUATION_STATE_DONE


def test_evaluations_are_listed_newest_first_without_curves(world: World, model: pb.Model) -> None:
    made = start(world, model)
    ended(world, made)
    listed = world.evaluations.ListEvaluations(pb.ListEvaluationsRequest(model_id=model.id)).evaluations
    assert listed[0].id == made.id and listed[0].figures.accuracy and not listed[0].figures.qualities


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"part": "test"}, InvalidInput, "validation, train, all"),
        ({"confidence": 1.0}, InvalidInput, "confidence is 1.0"),
        ({"target": "web-onnx"}, NotFound, "no file for the target 'web-onnx'"),
        ({"version": "ffffffffffff"}, NotFound, "ffffffffffff"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_at_once(
    world: World, model: pb.Model, fields: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        start(world, model, **fields)


def test_a_card_tells_where_a_model_comes_from(world: World, model: pb.Model, validated: pb.EvaluationJob) -> None:
    card = world.models.GetModelCard(pb.GetModelCardRequest(model_id=model.id)).card
    assert card.version_number == 1 and card.train_count + card.validation_count == 48 and card.version_sha256
    assert card.parameters.epochs == 1 and card.code_version.split()[0] in ("git", "boardloop")
    assert [one.weights for one in card.lineage] == ["none"] and card.model.weights_source
    assert validated.id in [one.id for one in card.evaluations]
