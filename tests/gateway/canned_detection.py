"""A job and a model of tests/gateway/canned_trainer.py made those of a detector."""

from __future__ import annotations

from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t

__all__ = ["detect", "detector"]


def detect(job: t.Job) -> None:
    """Its epochs measure mAP and the parts of the loss."""
    for epoch in job.epochs:
        epoch.validation_accuracy = 0.0
        metrics = t.DetectionMetrics(map50=0.05 * epoch.epoch, map50_95=0.02 * epoch.epoch, box_loss=0.5)
        epoch.detection.CopyFrom(metrics)


def detector(model: t.Model) -> None:
    """It finds one of its labels; the other is in no picture."""
    model.task, model.head = "detection", "yolo2"
    model.anchors[:] = [1.0, 1.5] * 5
    for evaluation, found in ((model.evaluation, 0.625), (model.files[0].evaluation, 0.61)):
        evaluation.Clear()
        evaluation.images, evaluation.task = 80, "detection"
        evaluation.mean_average_precision, evaluation.mean_average_precision_50_95 = found, found / 2
        evaluation.classes.add(
            label=model.labels[0], support=93, precision=0.8, recall=0.7, f1=0.75, ap50=found, ap50_95=0.3
        )
        evaluation.classes.add(label=model.labels[1])
