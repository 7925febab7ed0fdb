"""TrainingService and ModelService of proto/boardloop/trainer/v1: each method calls the room that does the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.json_format import MessageToDict

from services.common.errors import FailedPrecondition, TooManyRequests
from services.common.rpc import RpcServer
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc
from services.trainer import advice
from services.trainer.choices import check_target
from services.trainer.config import Task
from services.trainer.convert import TARGETS, check_head, heads_of
from services.trainer.datasets import Datasets
from services.trainer.detection.boxes import Box
from services.trainer.detection_evaluation import SHOWN
from services.trainer.evaluation.card import model_card
from services.trainer.evaluation.queue import Evaluations
from services.trainer.evaluation.server import EvaluationService
from services.trainer.evaluation.store import EvaluationStore
from services.trainer.jobs import Jobs
from services.trainer.messages import file_message, job_message, model_message
from services.trainer.packages import build, kinds
from services.trainer.packages.stored import stored_content
from services.trainer.parameters import choices, resolved
from services.trainer.pipeline import Pipeline
from services.trainer.prediction import Predictor
from services.trainer.preflight.check import Preflight
from services.trainer.preflight.look import Looks
from services.trainer.preview import PreviewService
from services.trainer.registry import BLOCK_BYTES, Registry
from services.trainer.settings import TrainerSettings
from services.trainer.store import ENDED, JobStore

__all__ = ["RPC_WORKERS", "ModelService", "Rooms", "TrainingService", "add_services"]

RPC_WORKERS = 32
WATCHERS = 24  # each holds a worker; the others stay free for short calls
_TASKS: dict[int, Task] = {collector_pb2.TASK_DETECTION: "detection"}  # what is not said is classification
_WATCH_SECONDS = 1.0  # how soon a watcher notices that its caller went away


@dataclass(frozen=True)
class Rooms:
    """What the services hand their calls to."""

    store: JobStore
    jobs: Jobs
    datasets: Datasets
    pipeline: Pipeline
    registry: Registry
    predictor: Predictor
    settings: TrainerSettings
    evaluation_store: EvaluationStore
    evaluations: Evaluations


class TrainingService(trainer_pb2_grpc.TrainingServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._preflight = Preflight(rooms.settings, rooms.datasets, rooms.store, Looks())
        self._watchers = threading.BoundedSemaphore(WATCHERS)

    def StartJob(self, request: pb.StartJobRequest, context: grpc.ServicerContext) -> pb.StartJobResponse:
        version = self._version(request)
        parameters = self._resolved(request, version)
        self._preflight.refuse_errors(parameters, version)
        values = MessageToDict(parameters, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        job = self._rooms.jobs.submit(request.project_id, request.version_id, values, request.priority)
        return pb.StartJobResponse(job=self._message(job.id))

    def CheckTraining(
        self, request: pb.CheckTrainingRequest, context: grpc.ServicerContext
    ) -> pb.CheckTrainingResponse:
        version = self._version(request)
        return self._preflight.check(self._resolved(request, version), version)

    def _resolved(
        self, request: pb.StartJobRequest | pb.CheckTrainingRequest, version: collector_pb2.DatasetVersion
    ) -> pb.TrainingParameters:
        task = _TASKS.get(version.task, "classification")
        return resolved(request.parameters, self._rooms.settings, self._rooms.registry.get, task)

    def _version(self, request: pb.StartJobRequest | pb.CheckTrainingRequest) -> collector_pb2.DatasetVersion:
        """FailedPrecondition for one of another project."""
        version = self._rooms.datasets.version(request.version_id)
        if version.project_id != request.project_id:
            raise FailedPrecondition(
                "VERSION_OF_ANOTHER_PROJECT",
                f"Data set version {request.version_id} does not belong to project {request.project_id}.",
                fix="Choose a version of the same project.",
            )
        return version

    def ProposeNetworks(
        self, request: pb.ProposeNetworksRequest, context: grpc.ServicerContext
    ) -> pb.ProposeNetworksResponse:
        return advice.proposals(request)

    def EstimateNetwork(
        self, request: pb.EstimateNetworkRequest, context: grpc.ServicerContext
    ) -> pb.EstimateNetworkResponse:
        return advice.network_estimate(request)

    def GetJob(self, request: pb.GetJobRequest, context: grpc.ServicerContext) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=self._message(request.job_id))

    def ListJobs(self, request: pb.ListJobsRequest, context: grpc.ServicerContext) -> pb.ListJobsResponse:
        jobs, queue = self._rooms.store.of_project(request.project_id), self._rooms.store.queue()
        return pb.ListJobsResponse(jobs=[job_message(job, queue=queue) for job in jobs])

    def StopJob(self, request: pb.StopJobRequest, context: grpc.ServicerContext) -> pb.StopJobResponse:
        self._rooms.jobs.ask_stop(request.job_id)
        return pb.StopJobResponse(job=self._message(request.job_id))

    def SetJobPriority(
        self, request: pb.SetJobPriorityRequest, context: grpc.ServicerContext
    ) -> pb.SetJobPriorityResponse:
        self._rooms.jobs.prioritise(request.job_id, request.priority)
        return pb.SetJobPriorityResponse(job=self._message(request.job_id))

    def ResumeJob(self, request: pb.ResumeJobRequest, context: grpc.ServicerContext) -> pb.ResumeJobResponse:
        self._rooms.jobs.resume(request.job_id)
        return pb.ResumeJobResponse(job=self._message(request.job_id))

    def WatchJob(self, request: pb.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchJobResponse]:
        if not self._watchers.acquire(blocking=False):
            raise TooManyRequests(
                "TOO_MANY_WATCHERS", f"{WATCHERS} calls watch jobs already.", fix="Close a page, or use GetJob."
            )
        try:
            yield from self._watch(request.job_id, context)
        finally:
            self._watchers.release()

    def _watch(self, job_id: str, context: grpc.ServicerContext) -> Iterator[pb.WatchJobResponse]:
        changes = self._rooms.store.changes
        told = -1
        while context.is_active():
            seen = changes.count(job_id)
            if seen != told:
                job = self._message(job_id)
                yield pb.WatchJobResponse(job=job)
                told = seen
                if pb.JobState.Name(job.state).removeprefix("JOB_STATE_") in ENDED:
                    return
            changes.wait(job_id, seen, _WATCH_SECONDS)

    def _message(self, job_id: str) -> pb.Job:
        store = self._rooms.store
        job = store.get(job_id)
        return job_message(job, store.log(job_id), store.queue() if job.state == "QUEUED" else ())


class ModelService(trainer_pb2_grpc.ModelServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._converting = threading.Lock()

    def GetModel(self, request: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:
        return pb.GetModelResponse(model=model_message(self._rooms.registry.get(request.model_id)))

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        models = self._rooms.registry.of_project(request.project_id)
        return pb.ListModelsResponse(models=[model_message(model) for model in models])

    def DownloadModel(
        self, request: pb.DownloadModelRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadModelResponse]:
        registry = self._rooms.registry
        if request.package:
            content = stored_content(registry, request.model_id, request.target, request.flash_address)
            blocks = _in_blocks(*build(request.package, content))
        else:
            blocks = registry.blocks(request.model_id, request.target)
        for index, (name, size, data) in enumerate(blocks):
            yield pb.DownloadModelResponse(file_name="" if index else name, size_bytes=size, data=data)

    def ConvertModel(self, request: pb.ConvertModelRequest, context: grpc.ServicerContext) -> pb.ConvertModelResponse:
        check_target(request.target)
        chosen = choices(request)
        model = self._rooms.registry.get(request.model_id)
        check_head(model.head, request.target)
        if not self._converting.acquire(blocking=False):
            raise TooManyRequests("CONVERTING", "Another model is being converted.", fix="Try again in a minute.")
        try:
            file = self._rooms.pipeline.convert(model, request.target, chosen)
            return pb.ConvertModelResponse(file=file_message(file))
        finally:
            self._converting.release()

    def ListTargets(self, request: pb.ListTargetsRequest, context: grpc.ServicerContext) -> pb.ListTargetsResponse:
        targets = [
            pb.Target(
                id=target.id,
                title=target.title,
                board_type=target.board_type,
                format=target.format,
                description=target.description,
                packages=kinds(target.id),
                heads=heads_of(target.id),
            )
            for target in TARGETS.values()
        ]
        return pb.ListTargetsResponse(targets=targets)

    def Predict(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictResponse:
        answer = self._rooms.predictor.predict(
            request.model_id, request.target, request.jpeg, request.confidence or SHOWN, request.show_input
        )
        labels = self._rooms.registry.get(request.model_id).labels
        objects = [
            pb.FoundObject(label=labels[one.label], confidence=one.confidence, **_inside(one.box))
            for one in answer.objects
        ]
        return pb.PredictResponse(
            logits=answer.logits, scores=answer.scores, objects=objects, seconds=answer.seconds,
            input_png=answer.input_png,
        )  # fmt: skip

    def GetGolden(self, request: pb.GetGoldenRequest, context: grpc.ServicerContext) -> pb.GetGoldenResponse:
        golden = self._rooms.registry.golden(request.model_id, request.target)
        _, channels, height, width = golden.inputs.shape
        cases = [
            pb.GoldenCase(input_u8_chw=pixels.tobytes(), output=output.tolist())
            for pixels, output in zip(golden.inputs, golden.outputs, strict=True)
        ]
        return pb.GetGoldenResponse(width=width, height=height, channels=channels, cases=cases)

    def GetModelCard(self, request: pb.GetModelCardRequest, context: grpc.ServicerContext) -> pb.GetModelCardResponse:
        rooms = self._rooms
        card = model_card(rooms.registry, rooms.store, rooms.evaluation_store, rooms.datasets, request.model_id)
        return pb.GetModelCardResponse(card=card)


def _inside(box: Box) -> dict[str, float]:
    """What of a box lies in the picture."""
    return {name: min(max(edge, 0.0), 1.0) for name, edge in box._asdict().items()}


def _in_blocks(name: str, data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """As Registry.blocks gives them."""
    for offset in range(0, len(data), BLOCK_BYTES):
        yield name, len(data), data[offset : offset + BLOCK_BYTES]


def add_services(server: RpcServer, rooms: Rooms) -> None:
    """Register the services."""
    training, model = TrainingService(rooms), ModelService(rooms)
    evaluation = EvaluationService(rooms.evaluation_store, rooms.evaluations, rooms.registry, rooms.datasets)
    package = "boardloop.trainer.v1"
    server.add(trainer_pb2_grpc.add_TrainingServiceServicer_to_server, training, f"{package}.TrainingService")
    server.add(trainer_pb2_grpc.add_ModelServiceServicer_to_server, model, f"{package}.ModelService")
    preview = PreviewService(rooms.datasets)
    server.add(trainer_pb2_grpc.add_PreviewServiceServicer_to_server, preview, f"{package}.PreviewService")
    server.add(trainer_pb2_grpc.add_EvaluationServiceServicer_to_server, evaluation, f"{package}.EvaluationService")
