"""A collector and a trainer on real ports, each with its own SQLite, and a project of little pictures."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common.rpc import open_channel
from services.rpc.boardloop.collector.v1 import collector_pb2, collector_pb2_grpc
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc
from services.trainer.service import Trainer
from services.trainer.settings import TrainerSettings
from tests.trainer.conftest import jpeg
from tests.trainer.scenes import LABELS, scene_jpegs

__all__ = ["World", "pb"]

NO_BROKER = "mqtt://127.0.0.1:9"  # pictures are uploaded over gRPC here; the collector waits for a broker in vain
ENDED = (pb.JOB_STATE_DONE, pb.JOB_STATE_FAILED, pb.JOB_STATE_STOPPED, pb.JOB_STATE_INTERRUPTED)


class World:
    def __init__(self, folder: Path, weights_allowed: str = "", **trainer: Any) -> None:
        self.folder = folder
        self.key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
        shared: dict[str, Any] = {"data_dir": folder, "service_key": self.key, "grpc_address": "127.0.0.1:0"}
        self.collector = Collector(CollectorSettings(mqtt_url=NO_BROKER, **shared))
        collector_address = f"127.0.0.1:{self.collector.start()}"
        own: dict[str, Any] = {"training_threads": 1, "weights_allowed": weights_allowed, **trainer}
        self._settings = TrainerSettings(collector_address=collector_address, **own, **shared)
        self._channels = [open_channel(collector_address, self.key)]
        self.captures = collector_pb2_grpc.CaptureServiceStub(self._channels[0])
        self.datasets = collector_pb2_grpc.DatasetServiceStub(self._channels[0])
        self._start_trainer()
        self.projects = collector_pb2_grpc.ProjectServiceStub(self._channels[0])
        request = collector_pb2.CreateProjectRequest(name="marks", labels=["ring", "bars"])
        self.project_id = self.projects.CreateProject(request).project.id

    def _start_trainer(self) -> None:
        self.trainer = Trainer(self._settings)
        self._channels.append(open_channel(f"127.0.0.1:{self.trainer.start()}", self.key, 120))
        self.training = trainer_pb2_grpc.TrainingServiceStub(self._channels[-1])
        self.models = trainer_pb2_grpc.ModelServiceStub(self._channels[-1])
        self.evaluations = trainer_pb2_grpc.EvaluationServiceStub(self._channels[-1])

    def restart_trainer(self) -> None:
        """As when the process is ended and started again on the same data."""
        self.trainer.stop()
        self._start_trainer()

    def close(self) -> None:
        self.trainer.stop()
        self.collector.stop()
        for channel in self._channels:
            channel.close()

    def start_job(self, count: int = 32, damaged: bool = False, **parameters: Any) -> pb.Job:
        """Upload pictures, freeze them as a version and start a job on it; `damaged`: one loses its end on the disk."""
        for index in range(count):
            label = ("ring", "bars")[index % 2]
            picture = jpeg(label, index)
            request = collector_pb2.UploadCaptureRequest(project_id=self.project_id, label=label, jpeg=picture)
            self.captures.UploadCapture(request)
        create = collector_pb2.CreateVersionRequest(project_id=self.project_id, seed=1, validation_share=0.3)
        version = self.datasets.CreateVersion(create).version
        if damaged:
            victim = next(path for path in (self.folder / "objects").rglob("*") if path.is_file())
            victim.write_bytes(victim.read_bytes()[:500])
        request = pb.StartJobRequest(
            project_id=self.project_id, version_id=version.id, parameters=pb.TrainingParameters(**parameters)
        )
        return self.training.StartJob(request).job

    def start_detection(self, count: int = 32, **parameters: Any) -> pb.Job:
        """The same with tiny scenes and their boxes, in a project of their own."""
        project = self.projects.CreateProject(collector_pb2.CreateProjectRequest(name="scenes", labels=LABELS)).project
        for picture, truths in scene_jpegs(count):
            boxes = [
                collector_pb2.Box(
                    label=LABELS[t.label], x=b.left, y=b.top, width=b.right - b.left, height=b.bottom - b.top
                )
                for t in truths
                for b in [t.box]
            ]
            request = collector_pb2.UploadCaptureRequest(project_id=project.id, jpeg=picture, boxes=boxes, boxed=True)
            self.captures.UploadCapture(request)
        create = collector_pb2.CreateVersionRequest(
            project_id=project.id, seed=1, validation_share=0.3, task=collector_pb2.TASK_DETECTION
        )
        version = self.datasets.CreateVersion(create).version
        return self.training.StartJob(
            pb.StartJobRequest(
                project_id=project.id, version_id=version.id, parameters=pb.TrainingParameters(**parameters)
            )
        ).job

    def until(self, job_id: str, reached: Callable[[pb.Job], bool]) -> pb.Job:
        """The job as soon as `reached` says so; fails when it ends before."""
        stream = self.training.WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=120)
        for answer in stream:
            if reached(answer.job):
                stream.cancel()
                return answer.job
        raise AssertionError(f"the job ended before: {answer.job.error} {list(answer.job.log)}")

    def wait(self, job: pb.Job) -> pb.Job:
        return self.until(job.id, lambda job: job.state in ENDED)

    def download(self, model_id: str, target: str) -> bytes:
        request = pb.DownloadModelRequest(model_id=model_id, target=target)
        return b"".join(answer.data for answer in self.models.DownloadModel(request))
