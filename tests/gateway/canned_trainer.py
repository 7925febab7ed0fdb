"""The trainer behind the gateway, with canned answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from services.common.errors import FailedPrecondition, InvalidInput, NotFound, UnsupportedModel
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as tg
from services.trainer.evaluation.answers import Answers
from tests.gateway.canned_evaluations import CannedEvaluations
from tests.gateway.canned_facts import LABELS, MODEL_FILE, TARGET, stamp
from tests.gateway.canned_fidelity import canned_fidelity, canned_report
from tests.gateway.canned_networks import canned_check, canned_estimate, canned_networks


class Trainer(CannedEvaluations, tg.TrainingServiceServicer, tg.ModelServiceServicer):
    """Jobs that move when a test says so, and one model per job that is done."""

    def __init__(self) -> None:
        self.jobs: dict[str, t.Job] = {}
        self.models: dict[str, t.Model] = {}
        self.conversion = t.ConvertModelRequest()
        self.prediction = t.PredictResponse(logits=[2.0, -1.0], scores=[0.953, 0.047], seconds=0.25, input_png=b"PNG")
        self.problems: list[t.TrainingProblem] = []
        self.evaluations: dict[str, t.EvaluationJob] = {}
        self.answers: dict[str, Answers] = {}

    def advance(self, job: str, epochs: int) -> None:
        """So many epochs are trained."""
        one = self.jobs[job]
        one.state = t.JOB_STATE_TRAINING
        chance = random.Random(7)
        del one.epochs[:]
        for epoch in range(1, epochs + 1):
            one.epochs.add(
                epoch=epoch, train_loss=0.9 * 0.8**epoch + 0.03 * chance.random(), learning_rate=0.001,
                validation_loss=0.85 * 0.83**epoch + 0.12 + 0.05 * chance.random(),
                validation_accuracy=0.94 - 0.4 * 0.72**epoch + 0.02 * chance.random(), images_per_second=41.5,
            )  # fmt: skip
        one.progress = 0.1 + 0.8 * epochs / one.parameters.epochs
        one.seconds_left = 12.0 * (one.parameters.epochs - epochs)
        one.log[:] = [
            "fetched 320 training and 80 validation pictures of version 1",
            "weights: imagenet, MobileNetV1 1.0 sliced to 0.5",
            *(f"epoch {e.epoch}: loss {e.train_loss:.4f}, accuracy {e.validation_accuracy:.4f}" for e in one.epochs),
        ]

    def finish(self, job: str) -> str:
        """The job is done; returns its model."""
        one = self.jobs[job]
        self.advance(job, one.parameters.epochs)
        one.state, one.progress, one.seconds_left = t.JOB_STATE_DONE, 1.0, 0.0
        one.ended_at.CopyFrom(stamp())
        one.model_id = f"{len(self.models) + 0xA1:012x}"
        right = evaluation([[41, 4], [5, 30]])
        self.models[one.model_id] = t.Model(
            id=one.model_id, project_id=one.project_id, job_id=one.id, version_id=one.version_id,
            name=f"solar-cells-{len(self.models) + 1}", labels=LABELS, backbone="mobilenet_v1_0.5", input_size=128,
            evaluation=right, weights_source="MobileNetV1 1.0, TF-slim, Apache-2.0", created_at=stamp(),
            files=[converted(TARGET, "kmodel_v3", "model.kmodel")],
        )  # fmt: skip
        return one.model_id

    def StartJob(self, request: t.StartJobRequest, context: Any) -> t.StartJobResponse:
        job = t.Job(
            id=f"{len(self.jobs) + 0x77AA01:012x}", project_id=request.project_id, version_id=request.version_id,
            parameters=request.parameters, state=t.JOB_STATE_QUEUED, created_at=stamp(), priority=request.priority,
            queue_position=1,
        )  # fmt: skip
        job.parameters.epochs = job.parameters.epochs or 15
        self.jobs[job.id] = job
        return t.StartJobResponse(job=job)

    def CheckTraining(self, request: t.CheckTrainingRequest, context: Any) -> t.CheckTrainingResponse:
        return canned_check(request, self.problems)

    def ProposeNetworks(self, request: t.ProposeNetworksRequest, context: Any) -> t.ProposeNetworksResponse:
        return canned_networks(request)

    def EstimateNetwork(self, request: t.EstimateNetworkRequest, context: Any) -> t.EstimateNetworkResponse:
        return canned_estimate(request)

    def GetJob(self, request: t.GetJobRequest, context: Any) -> t.GetJobResponse:
        return t.GetJobResponse(job=self._job(request.job_id))

    def ListJobs(self, request: t.ListJobsRequest, context: Any) -> t.ListJobsResponse:
        return t.ListJobsResponse(jobs=[j for j in reversed(self.jobs.values()) if j.project_id == request.project_id])

    def StopJob(self, request: t.StopJobRequest, context: Any) -> t.StopJobResponse:
        job = self._job(request.job_id)
        if job.state == t.JOB_STATE_DONE:
            raise FailedPrecondition("JOB_ENDED", f"Job {job.id} has ended.", fix="Start a new one.")
        job.state = t.JOB_STATE_STOPPED
        return t.StopJobResponse(job=job)

    def SetJobPriority(self, request: t.SetJobPriorityRequest, context: Any) -> t.SetJobPriorityResponse:
        job = self._job(request.job_id)
        job.priority = request.priority
        return t.SetJobPriorityResponse(job=job)

    def ResumeJob(self, request: t.ResumeJobRequest, context: Any) -> t.ResumeJobResponse:
        job = self._job(request.job_id)
        job.state, job.error = t.JOB_STATE_QUEUED, ""
        return t.ResumeJobResponse(job=job)

    def WatchJob(self, request: t.WatchJobRequest, context: Any) -> Iterator[t.WatchJobResponse]:
        yield t.WatchJobResponse(job=self._job(request.job_id))

    def GetModel(self, request: t.GetModelRequest, context: Any) -> t.GetModelResponse:
        if request.model_id not in self.models:
            raise NotFound("UNKNOWN_MODEL", f"There is no model {request.model_id}.", fix="List the models.")
        return t.GetModelResponse(model=self.models[request.model_id])

    def ListModels(self, request: t.ListModelsRequest, context: Any) -> t.ListModelsResponse:
        return t.ListModelsResponse(
            models=[m for m in reversed(self.models.values()) if m.project_id == request.project_id]
        )

    def DownloadModel(self, request: t.DownloadModelRequest, context: Any) -> Iterator[t.DownloadModelResponse]:
        self.GetModel(t.GetModelRequest(model_id=request.model_id), context)
        name = "model.kmodel" if request.target else 'float "1".pt'
        if request.package:
            self.asked = request
            name = "model-k210.zip"
        for begin in range(0, len(MODEL_FILE), 1 << 20):
            block = t.DownloadModelResponse(data=MODEL_FILE[begin : begin + (1 << 20)])
            if not begin:
                block.file_name, block.size_bytes = name, len(MODEL_FILE)
            yield block

    def ConvertModel(self, request: t.ConvertModelRequest, context: Any) -> t.ConvertModelResponse:
        self.conversion = request
        files = self.models[request.model_id].files
        if request.target not in [one.id for one in self.ListTargets(t.ListTargetsRequest(), None).targets]:
            raise InvalidInput("UNKNOWN_TARGET", f"There is no target {request.target}.", fix="GET /api/v1/targets.")
        if request.target == "web-onnx" and request.max_accuracy_drop < 0.1:
            raise UnsupportedModel(
                "ACCURACY_DROP",
                "Layer conv7_dw loses most.",
                fix="Allow more with max_accuracy_drop.",
                layer="conv7_dw",
            )
        for file in files:
            if file.target == request.target:
                return t.ConvertModelResponse(file=file)
        files.append(converted(request.target, request.target.replace("-", "."), "model.bin"))
        return t.ConvertModelResponse(file=files[-1])

    def ListTargets(self, request: t.ListTargetsRequest, context: Any) -> t.ListTargetsResponse:
        rows = [
            (TARGET, "K210, MaixPy (kmodel V3)", "MaixPy-v1 and CanMV firmware", "k210", "kmodel_v3"),
            ("v831-awnn-int8", "V831, AWNN int8", "Maix-II-Dock with MaixPy3", "v831", "awnn_int8"),
            ("web-onnx", "ONNX", "onnxruntime and the browser", "web", "onnx"),
        ]
        names = ("id", "title", "description", "board_type", "format")
        targets = [t.Target(heads=["classifier", "yolo2"], **dict(zip(names, row, strict=True))) for row in rows]
        targets[-1].heads.append("anchor_free")
        return t.ListTargetsResponse(targets=targets)

    def Predict(self, request: t.PredictRequest, context: Any) -> t.PredictResponse:
        return self.prediction

    def GetGolden(self, request: t.GetGoldenRequest, context: Any) -> t.GetGoldenResponse:
        raise NotFound("UNKNOWN_MODEL", "The gateway never asks for this.")

    def GetModelCard(self, request: t.GetModelCardRequest, context: Any) -> t.GetModelCardResponse:
        model = self.GetModel(t.GetModelRequest(model_id=request.model_id), context).model
        first = t.Ancestor(model_id="0" * 12, name="solar-cells-0", version_id=model.version_id, weights="imagenet")
        mine = t.Ancestor(model_id=model.id, name=model.name, version_id=model.version_id, weights="model:" + "0" * 12)
        done = [one for one in self.evaluations.values() if one.model_id == model.id and one.figures.images]
        card = t.ModelCard(
            model=model, parameters=self.jobs[model.job_id].parameters, code_version="git 0123456789ab",
            lineage=[mine, first], version_number=1, train_count=70, validation_count=18, version_sha256="9f" * 32,
            evaluations=done,
        )  # fmt: skip
        return t.GetModelCardResponse(card=card)

    def _job(self, job: str) -> t.Job:
        if job not in self.jobs:
            raise NotFound("UNKNOWN_JOB", f"There is no job {job}.", fix="List the jobs.", job=job)
        return self.jobs[job]


def converted(target: str, form: str, name: str) -> t.ConvertedFile:
    """A file with its figures."""
    return t.ConvertedFile(
        target=target, format=form, file_name=name, size_bytes=870_432, sha256="c0" * 32,
        evaluation=evaluation([[41, 4], [6, 29]]), agreement=0.9875, ram_bytes=1_268_000,
        report_json=json.dumps(canned_report(target)),
        packages=["k210-zip", "kfpkg"] if target == TARGET else ["files"],
        fidelity_json=json.dumps(canned_fidelity(target, LABELS).to_json()),
    )  # fmt: skip


def evaluation(confusion: list[list[int]]) -> t.Evaluation:
    """The figures that follow from a confusion matrix."""
    total = sum(map(sum, confusion))
    columns = [sum(row[i] for row in confusion) for i in range(len(confusion))]
    classes = []
    for i, row in enumerate(confusion):
        precision, recall = row[i] / columns[i], row[i] / sum(row)
        f1 = 2 * precision * recall / (precision + recall)
        classes.append(t.ClassMetrics(label=LABELS[i], precision=precision, recall=recall, f1=f1, support=sum(row)))
    return t.Evaluation(
        images=total, accuracy=sum(row[i] for i, row in enumerate(confusion)) / total,
        confusion=[count for row in confusion for count in row], classes=classes,
        wrong_capture_ids=[f"{index:032x}" for index in (3, 11, 14, 20)],
    )  # fmt: skip
