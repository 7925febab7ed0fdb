"""Rows of the tables as messages of the contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import ParseDict

from services.common.rpc import to_timestamp
from services.rpc.boardloop.trainer.v1 import trainer_pb2
from services.trainer.choices import MAX_ACCURACY_DROP
from services.trainer.config import TrainingConfig
from services.trainer.detection_evaluation import DetectionEvaluation, parsed_evaluation
from services.trainer.models import Job, JobEpoch, Model, ModelFile
from services.trainer.packages import kinds
from services.trainer.parameters import settings

__all__ = ["file_message", "job_message", "model_message"]


# what jobs of older versions do not say; they had no average of the weights
_WHOLE = {"max_accuracy_drop": MAX_ACCURACY_DROP, **settings(TrainingConfig(ema=0))}


def job_message(job: Job, log: Sequence[str] = (), queue: Sequence[str] = ()) -> trainer_pb2.Job:
    """`queue`: ids of the queued jobs, the next to begin first."""
    return trainer_pb2.Job(
        id=job.id,
        project_id=job.project_id,
        version_id=job.version_id,
        parameters=ParseDict(_WHOLE | job.parameters, trainer_pb2.TrainingParameters()),
        state=trainer_pb2.JobState.Value(f"JOB_STATE_{job.state}"),
        progress=job.progress,
        seconds_left=job.seconds_left,
        epochs=[_epoch(epoch) for epoch in job.epochs],
        log=log,
        error=job.error,
        model_id=job.model_id,
        created_at=to_timestamp(job.created_at),
        ended_at=to_timestamp(job.ended_at) if job.ended_at else None,
        priority=job.priority,
        queue_position=queue.index(job.id) + 1 if job.id in queue else 0,
    )


def model_message(model: Model) -> trainer_pb2.Model:
    return trainer_pb2.Model(
        id=model.id,
        project_id=model.project_id,
        job_id=model.job_id,
        version_id=model.version_id,
        name=model.name,
        labels=model.labels,
        backbone=model.backbone,
        input_size=model.input_size,
        evaluation=_evaluation(model.evaluation),
        files=[file_message(file) for file in model.files],
        weights_source=model.weights_source,
        created_at=to_timestamp(model.created_at),
        task=model.task,
        head=model.head,
        anchors=[side for anchor in model.anchors for side in anchor],
        input_height=model.input_height,
    )


def file_message(file: ModelFile) -> trainer_pb2.ConvertedFile:
    return trainer_pb2.ConvertedFile(
        target=file.target,
        format=file.format,
        file_name=file.file_name,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        evaluation=_evaluation(file.evaluation),
        agreement=file.agreement,
        ram_bytes=file.ram_bytes,
        report_json=json.dumps(file.report),
        fidelity_json=json.dumps(file.fidelity),
        packages=kinds(file.target),
    )


def _epoch(epoch: JobEpoch) -> trainer_pb2.EpochMetrics:
    return trainer_pb2.EpochMetrics(
        epoch=epoch.epoch,
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
        validation_accuracy=epoch.validation_accuracy,
        learning_rate=epoch.learning_rate,
        images_per_second=epoch.images_per_second,
        detection=trainer_pb2.DetectionMetrics(**epoch.detection) if epoch.detection else None,
    )


def _evaluation(values: dict[str, Any]) -> trainer_pb2.Evaluation:
    evaluation = parsed_evaluation(values)
    if isinstance(evaluation, DetectionEvaluation):
        return _detection(evaluation)
    return trainer_pb2.Evaluation(
        task="classification",
        images=len(evaluation.predictions),
        accuracy=evaluation.accuracy,
        confusion=[count for row in evaluation.confusion for count in row],
        classes=[trainer_pb2.ClassMetrics(**vars(score)) for score in evaluation.classes],
        wrong_capture_ids=[prediction.capture_id for prediction in evaluation.predictions if not prediction.right],
    )


def _detection(evaluation: DetectionEvaluation) -> trainer_pb2.Evaluation:
    score = evaluation.score
    classes = [
        trainer_pb2.ClassMetrics(
            label=shown.label,
            precision=shown.precision,
            recall=shown.recall,
            f1=shown.f1,
            support=shown.truths,
            ap50=one.ap50,
            ap50_95=one.ap50_95,
        )
        for shown, one in zip(evaluation.shown, score.classes, strict=True)
    ]
    return trainer_pb2.Evaluation(
        images=evaluation.images,
        classes=classes,
        wrong_capture_ids=evaluation.wrong,
        task="detection",
        mean_average_precision=score.map50,
        mean_average_precision_50_95=score.map50_95,
    )
