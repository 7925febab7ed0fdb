"""Evaluations, outcomes, comparisons and model cards as messages of the contract."""

from __future__ import annotations

from services.common.rpc import to_timestamp
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer.evaluation.comparison import Comparison
from services.trainer.evaluation.outcomes import Outcome, OutcomeBox
from services.trainer.evaluation.summary import Quality, Summary
from services.trainer.models import EvaluationRun

__all__ = ["comparison_message", "evaluation_message", "figures_message", "outcome_message"]


def evaluation_message(run: EvaluationRun, *, whole: bool = True) -> pb.EvaluationJob:
    """`whole`: with log, curves, subsets and the wrong pictures; lists go without."""
    summary = Summary.from_dict(run.summary) if run.summary else None
    return pb.EvaluationJob(
        id=run.id,
        project_id=run.project_id,
        model_id=run.model_id,
        version_id=run.version_id,
        target=run.target,
        part=run.part,
        state=pb.EvaluationState.Value(f"EVALUATION_STATE_{run.state}"),
        progress=run.progress,
        seconds_left=run.seconds_left,
        log=run.log if whole else (),
        error=run.error,
        figures=figures_message(summary, whole=whole) if summary else None,
        created_at=to_timestamp(run.created_at),
        ended_at=to_timestamp(run.ended_at) if run.ended_at else None,
        confidence=run.confidence,
        skip_unreadable=run.skip_unreadable,
    )


def figures_message(summary: Summary, *, whole: bool = True) -> pb.Evaluation:
    return pb.Evaluation(
        images=summary.images,
        accuracy=summary.accuracy,
        confusion=[count for row in summary.confusion for count in row],
        classes=[
            pb.ClassMetrics(label=o.label, precision=o.precision, recall=o.recall, f1=o.f1, support=o.support)
            for o in summary.qualities
        ],
        wrong_capture_ids=summary.wrong if whole else (),
        labels=summary.labels,
        unknown_labels=summary.unknown_labels,
        absent_labels=summary.absent_labels,
        qualities=[_quality(one) for one in summary.qualities] if whole else (),
        subsets=[pb.Subset(**vars(one)) for one in summary.subsets] if whole else (),
        seen_images=summary.seen_images,
        right_images=summary.right_images,
        found_boxes=summary.boxes.get("found", 0),
        missed_boxes=summary.boxes.get("missed", 0),
        confused_boxes=summary.boxes.get("confused", 0),
        false_boxes=summary.boxes.get("false", 0),
        task=summary.task,
        mean_average_precision=summary.mean_average_precision(),
        mean_average_precision_50_95=summary.mean_average_precision(wide=True),
    )


def _quality(one: Quality) -> pb.LabelQuality:
    return pb.LabelQuality(
        label=one.label,
        support=one.support,
        average_precision=one.average_precision,
        precision=one.precision,
        recall=one.recall,
        f1=one.f1,
        threshold=pb.Threshold(**vars(one.threshold)) if one.threshold else None,
        curve_recall=one.curve_recall,
        curve_precision=one.curve_precision,
        curve_confidence=one.curve_confidence,
    )


def outcome_message(outcome: Outcome) -> pb.Outcome:
    facts = outcome.facts
    return pb.Outcome(
        capture_id=facts.capture_id,
        right=outcome.right,
        truth=outcome.truth,
        predicted=outcome.predicted,
        confidence=outcome.confidence,
        board_id=facts.board_id,
        brightness=facts.brightness,
        seen=facts.seen,
        boxes=[_box(box) for box in outcome.boxes],
    )


def _box(box: OutcomeBox) -> pb.OutcomeBox:
    return pb.OutcomeBox(
        kind=box.kind,
        truth=box.truth,
        predicted=box.predicted,
        confidence=box.confidence,
        truth_box=box.truth_box or (),
        found_box=box.found_box or (),
    )


def comparison_message(first: EvaluationRun, second: EvaluationRun, made: Comparison) -> pb.CompareEvaluationsResponse:
    return pb.CompareEvaluationsResponse(
        first=evaluation_message(first),
        second=evaluation_message(second),
        common_images=made.common,
        first_right=made.first_right,
        second_right=made.second_right,
        mended=made.mended,
        broken=made.broken,
        chance=made.chance,
    )
