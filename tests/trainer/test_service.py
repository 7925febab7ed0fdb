"""The trainer over gRPC beside a real collector: from uploaded pictures to a converted model."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.trainer.convert import simulator
from services.trainer.imaging import to_input
from tests.trainer.conftest import jpeg
from tests.trainer.world import World, pb

TARGET = "k210-kmodel-v3"
SMALL = {"backbone": "mobilenet_v1_0.25", "input_size": 128, "epochs": 2, "weights": "none"}


@pytest.fixture
def world(tmp_path: Path, small_weights: Path) -> Iterator[World]:
    world = World(tmp_path, weights_allowed=str(small_weights.parent))
    yield world
    world.close()


def test_a_job_ends_with_a_measured_model(world: World, small_weights: Path) -> None:
    started = world.start_job(**SMALL | {"epochs": 8, "learning_rate": 2e-3, "weights": str(small_weights)}, count=80)
    seen = [answer.job for answer in world.training.WatchJob(pb.WatchJobRequest(job_id=started.id), timeout=120)]
    job = seen[-1]
    assert job.state == pb.JOB_STATE_DONE, job.error
    assert [state for state, _ in groupby(job.state for job in seen) if state != pb.JOB_STATE_QUEUED] == [
        pb.JOB_STATE_FETCHING,
        pb.JOB_STATE_TRAINING,
        pb.JOB_STATE_CONVERTING,
        pb.JOB_STATE_DONE,
    ]
    progress = [job.progress for job in seen]
    assert progress == sorted(progress) and len(set(progress)) > 8
    assert [epoch.epoch for epoch in job.epochs] == list(range(1, 9))
    assert job.progress == 1 and job.parameters.target == TARGET and job.parameters.batch_size == 16
    assert "accuracy" in job.log[-1]

    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert list(model.labels) == ["ring", "bars"]  # the project's order, not the alphabet's
    assert model.version_id == job.version_id and model.job_id == job.id and model.input_size == 128
    assert model.weights_source == str(small_weights)
    best = max(epoch.validation_accuracy for epoch in job.epochs)
    assert model.evaluation.accuracy == pytest.approx(best) and best > 0.8  # chance: 0.5
    file = model.files[0]
    assert file.target == TARGET and file.evaluation.images > 12 and file.ram_bytes > file.size_bytes
    assert file.agreement >= 0.8
    for evaluation in (model.evaluation, file.evaluation):
        assert sum(evaluation.confusion) == evaluation.images == file.evaluation.images
        assert len(evaluation.wrong_capture_ids) == evaluation.images - sum(evaluation.confusion[::3])

    data = world.download(model.id, TARGET)
    assert hashlib.sha256(data).hexdigest() == file.sha256
    golden = world.models.GetGolden(pb.GetGoldenRequest(model_id=model.id, target=TARGET))
    chip = simulator(TARGET, data)
    for case in golden.cases:
        pixels = np.frombuffer(case.input_u8_chw, np.uint8).reshape(1, 3, golden.height, golden.width)
        assert chip.run(pixels)[0].tolist() == list(case.output)
    assert len(golden.cases) == 2
    assert not list((world.folder / "jobs").iterdir())

    picture = jpeg("bars", 999)
    answer = world.models.Predict(pb.PredictRequest(model_id=model.id, target=TARGET, jpeg=picture))
    assert list(answer.logits) == chip.run(to_input(picture, 128, 128)[None])[0].tolist()
    assert 0 < answer.seconds < 60 and not answer.input_png
    floating = world.models.Predict(pb.PredictRequest(model_id=model.id, jpeg=picture, show_input=True))
    assert (to_input(floating.input_png, 128, 128) == to_input(picture, 128, 128)).all()
    assert sum(floating.scores) == pytest.approx(1)
    assert np.allclose(floating.logits, answer.logits, atol=1.0)

    again = world.models.ConvertModel(pb.ConvertModelRequest(model_id=model.id, target=TARGET)).file
    assert again.sha256 == file.sha256
    assert [m.id for m in world.models.ListModels(pb.ListModelsRequest(project_id=job.project_id)).models] == [model.id]


def test_a_stopped_job_registers_its_best_epoch(world: World) -> None:
    job = world.start_job(**SMALL | {"epochs": 500})
    world.until(job.id, lambda job: len(job.epochs) >= 1)
    world.training.StopJob(pb.StopJobRequest(job_id=job.id))
    job = world.wait(job)
    assert job.state == pb.JOB_STATE_STOPPED and len(job.epochs) < 500
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert model.files[0].target == TARGET
    with pytest.raises(FailedPrecondition, match="STOPPED"):
        world.training.StopJob(pb.StopJobRequest(job_id=job.id))


def test_a_training_goes_on_from_a_registered_model(world: World) -> None:
    first = world.wait(world.start_job(**SMALL))
    assert first.state == pb.JOB_STATE_DONE, first.error
    asked = pb.TrainingParameters(weights=f"model:{first.model_id}", epochs=1, target=TARGET)
    request = pb.StartJobRequest(project_id=first.project_id, version_id=first.version_id, parameters=asked)
    job = world.wait(world.training.StartJob(request).job)
    assert job.state == pb.JOB_STATE_DONE, job.error
    assert (job.parameters.backbone, job.parameters.input_size) == (SMALL["backbone"], SMALL["input_size"])
    assert any("from a trained model" in line for line in job.log)
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert model.weights_source == f"model {first.model_id}, from none: trained from random weights"


def test_a_job_with_a_teacher_says_what_was_kept(world: World) -> None:
    job = world.wait(world.start_job(**SMALL | {"epochs": 1, "distil": "mobilenet_v1_0.5"}))
    assert job.state == pb.JOB_STATE_DONE, job.error
    log = " ".join(job.log)
    assert "Distillation 1 of 3" in log and "Distillation 2 of 3: the teacher" in log
    assert "nothing to learn from it" in log or "network is kept" in log
    assert len(job.epochs) in (2, 3)
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert (
        model.weights_source.count("trained from random weights") == 2 and "its teacher's: none" in model.weights_source
    )


def test_a_queued_job_is_stopped_without_work(world: World) -> None:
    first = world.start_job(**SMALL | {"epochs": 500})
    second = world.training.StartJob(
        pb.StartJobRequest(project_id=first.project_id, version_id=first.version_id, parameters=first.parameters)
    ).job
    assert world.training.StopJob(pb.StopJobRequest(job_id=second.id)).job.state == pb.JOB_STATE_STOPPED
    world.training.StopJob(pb.StopJobRequest(job_id=first.id))
    assert world.wait(first).state == pb.JOB_STATE_STOPPED
    jobs = world.training.ListJobs(pb.ListJobsRequest(project_id=first.project_id)).jobs
    assert [job.id for job in jobs] == [second.id, first.id] and not jobs[0].epochs


def training_child() -> psutil.Process:
    """The running training child of this process."""
    for child in psutil.Process().children():
        if "services.trainer.loop" in child.cmdline():
            return child
    raise AssertionError("no training runs")


def test_a_killed_worker_leaves_a_job_that_can_go_on(world: World) -> None:
    job = world.start_job(**SMALL | {"epochs": 4})
    world.until(job.id, lambda job: len(job.epochs) >= 2)
    os.kill(training_child().pid, signal.SIGKILL)
    job = world.wait(job)
    assert job.state == pb.JOB_STATE_INTERRUPTED and "signal 9" in job.error and "Resume" in job.error
    assert world.training.ResumeJob(pb.ResumeJobRequest(job_id=job.id)).job.error == ""
    job = world.wait(job)
    assert job.state == pb.JOB_STATE_DONE, job.error
    assert [epoch.epoch for epoch in job.epochs] == [1, 2, 3, 4]
    assert any("going on after epoch" in line for line in job.log)


def test_a_restarted_server_goes_on_with_what_it_had(world: World) -> None:
    job = world.start_job(**SMALL | {"epochs": 500})
    waiting = world.training.StartJob(
        pb.StartJobRequest(project_id=job.project_id, version_id=job.version_id, parameters=job.parameters)
    ).job
    world.until(job.id, lambda job: len(job.epochs) >= 1)
    child = training_child()
    world.restart_trainer()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    interrupted = world.training.GetJob(pb.GetJobRequest(job_id=job.id)).job
    assert interrupted.state == pb.JOB_STATE_INTERRUPTED and "Resume" in interrupted.error
    world.until(waiting.id, lambda job: job.state == pb.JOB_STATE_TRAINING)
    world.training.StopJob(pb.StopJobRequest(job_id=waiting.id))
    assert world.wait(waiting).state == pb.JOB_STATE_STOPPED


def test_a_network_the_chip_cannot_run_is_refused_before_there_is_a_job(world: World) -> None:
    with pytest.raises(InvalidInput, match=r"conv.*4x4") as refused:  # the layer, the KPU's smallest feature map
        world.start_job(**SMALL | {"input_size": 96})
    assert refused.value.metadata["layer"].startswith("conv")
    with pytest.raises(InvalidInput, match="bytes of RAM"):
        world.start_job(**SMALL | {"backbone": "mobilenet_v1_1.0"})


def test_networks_are_proposed_and_estimated_over_grpc(world: World) -> None:
    asked = pb.ProposeNetworksRequest(target="mcu-tinymaix-int8", labels=["ring", "bars"])
    first = world.training.ProposeNetworks(asked).proposals[0]
    assert first.recommended and first.why and first.estimate.file_bytes > 0
    size = first.estimate
    same = pb.EstimateNetworkRequest(
        target=size.target, labels=["ring", "bars"], backbone=size.backbone, input_width=size.input_width
    )
    assert world.training.EstimateNetwork(same).estimate == size
    wrongs = ({"labels": []}, *({"labels": ["a"], **one} for one in (
        {"task": "poetry"}, {"input_width": 100}, {"head": "yolo9"}, {"task": "classification", "head": "yolo2"},
        {"pooling": "loudest"}, {"pooling": "peaks", "head": "yolo2"},
    )))  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            world.training.EstimateNetwork(pb.EstimateNetworkRequest(**wrong))


def test_a_network_is_estimated_with_its_pooling(world: World) -> None:
    asked = {"labels": ["ring", "bars"], "backbone": "mobilenet_v1_1.0_cut8", "pooling": "peaks"}
    for target, width, word in (("k210-kmodel-v3", 96, "halve"), ("mcu-tinymaix-int8", 128, "pooling")):
        request = pb.EstimateNetworkRequest(target=target, input_width=width, **asked)
        assert word in world.training.EstimateNetwork(request).estimate.refusal
    one = world.training.EstimateNetwork(pb.EstimateNetworkRequest(input_width=256, **asked)).estimate
    assert one.file_bytes == 874_176 and not one.refusal


def test_networks_are_for_the_head_that_is_asked_for(world: World) -> None:
    targets = {one.id: list(one.heads) for one in world.models.ListTargets(pb.ListTargetsRequest()).targets}
    assert targets["k210-kmodel-v3"] == ["classifier", "yolo2"] and "anchor_free" in targets["web-onnx"]
    asked = {"target": "web-onnx", "labels": ["ring", "bars"]}
    for task, head, said in (("", "", "classifier"), ("detection", "", "yolo2"), ("", "anchor_free", "anchor_free")):
        found = world.training.ProposeNetworks(pb.ProposeNetworksRequest(**asked, task=task, head=head)).proposals
        assert {one.estimate.head for one in found} == {said} and found[0].recommended
        one = world.training.EstimateNetwork(pb.EstimateNetworkRequest(**asked, task=task, head=head)).estimate
        assert one.head == said and one.file_bytes > 0


def test_a_picture_damaged_in_the_store_is_named(world: World) -> None:
    job = world.wait(world.start_job(damaged=True, **SMALL))
    assert job.state == pb.JOB_STATE_FAILED and not job.epochs
    assert re.search(r"[0-9a-f]{32}", job.error) and "changed" in job.error
    request = pb.StartJobRequest(project_id=job.project_id, version_id=job.version_id, parameters=job.parameters)
    request.parameters.skip_unreadable = True
    job = world.wait(world.training.StartJob(request).job)
    assert job.state == pb.JOB_STATE_DONE and any(line.startswith("Left out: ") for line in job.log), job.error
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    asked = pb.StartEvaluationRequest(model_id=model.id, version_id=job.version_id, part="all", skip_unreadable=True)
    made = world.evaluations.StartEvaluation(asked).evaluation
    watched = world.evaluations.WatchEvaluation(pb.WatchEvaluationRequest(evaluation_id=made.id), timeout=60)
    done = [answer.evaluation for answer in watched][-1]
    assert done.figures.images == 31 and any(line.startswith("Left out: ") for line in done.log), done.error


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"epochs": 5000}, "epochs"),
        ({"input_size": 100}, "input_size"),
        ({"backbone": "vgg16"}, "backbone"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"target": "z80"}, "z80"),
    ],
)
def test_wrong_parameters_are_refused_at_once(world: World, parameters: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        world.start_job(**SMALL | parameters)


def test_an_unknown_model_to_start_from_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="no model 'abc'"):
        world.start_job(**SMALL | {"weights": "model:abc"})


def test_unknown_things_are_not_found(world: World) -> None:
    unknown = "0" * 12
    calls: list[Callable[[], object]] = [
        lambda: world.training.GetJob(pb.GetJobRequest(job_id=unknown)),
        lambda: list(world.training.WatchJob(pb.WatchJobRequest(job_id=unknown))),
        lambda: world.training.StopJob(pb.StopJobRequest(job_id=unknown)),
        lambda: world.training.ResumeJob(pb.ResumeJobRequest(job_id=unknown)),
        lambda: world.training.StartJob(pb.StartJobRequest(project_id=world.project_id, version_id=unknown)),
        lambda: world.models.GetModel(pb.GetModelRequest(model_id=unknown)),
        lambda: list(world.models.DownloadModel(pb.DownloadModelRequest(model_id=unknown))),
        lambda: world.models.GetGolden(pb.GetGoldenRequest(model_id=unknown, target=TARGET)),
        lambda: world.models.Predict(pb.PredictRequest(model_id=unknown, jpeg=jpeg("ring", 0))),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=unknown):
            call()


def test_targets_are_listed(world: World) -> None:
    targets = world.models.ListTargets(pb.ListTargetsRequest()).targets
    assert (TARGET, "k210", "kmodel_v3") in [(t.id, t.board_type, t.format) for t in targets]


def test_watchers_leave_room_for_other_calls(world: World) -> None:
    job = world.start_job(**SMALL | {"epochs": 500})
    streams = [world.training.WatchJob(pb.WatchJobRequest(job_id=job.id), timeout=120) for _ in range(40)]
    first: list[object] = []
    threads = [threading.Thread(target=lambda s=s: first.append(_first(s))) for s in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Exception) for answer in first) == 40 - 24
    assert world.training.GetJob(pb.GetJobRequest(job_id=job.id), timeout=10).job.id == job.id
    for stream in streams:
        stream.cancel()
    world.training.StopJob(pb.StopJobRequest(job_id=job.id))


def _first(stream: Iterator[Any]) -> object:
    try:
        return next(stream)
    except Exception as error:
        return error


def test_an_input_need_not_be_square(world: World) -> None:
    job = world.wait(world.start_job(20, **SMALL | {"input_size": 160, "input_height": 128, "epochs": 1}))
    assert job.state == pb.JOB_STATE_DONE, job.error
    model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
    assert (model.input_size, model.input_height) == (160, 128) and "160x128" in model.name
    golden = world.models.GetGolden(pb.GetGoldenRequest(model_id=model.id, target=TARGET))
    assert (golden.width, golden.height, len(golden.cases[0].input_u8_chw)) == (160, 128, 3 * 160 * 128)
    chip = simulator(TARGET, world.download(model.id, TARGET))
    assert chip.input_shape == (3, 128, 160)
    answer = world.models.Predict(pb.PredictRequest(model_id=model.id, target=TARGET, jpeg=jpeg("ring", 5)))
    wanted = chip.run(to_input(jpeg("ring", 5), 160, 128)[None])[0]
    assert np.allclose(answer.logits, wanted, atol=1e-5)
