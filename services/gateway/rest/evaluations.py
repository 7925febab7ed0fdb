"""Evaluations of models on data set versions: figures, pictures right and wrong, comparisons."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field

from services.gateway.context import Here
from services.gateway.rest.models import FLOAT, ClassMetrics, TargetId
from services.gateway.rest.shapes import Id, Many, Public, Time, enum_words
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["EvaluationPublic", "router"]

router = APIRouter(prefix="/v1", tags=["evaluations"])

EvaluationState = Annotated[
    Literal["NONE", "QUEUED", "FETCHING", "EVALUATING", "DONE", "FAILED", "STOPPED", "INTERRUPTED"],
    enum_words(pb.EvaluationState, "EVALUATION_STATE_"),
]
Part = Literal["validation", "train", "all"]
Kind = Literal["", "right", "wrong", "missed", "confused", "false"]


class Threshold(Public):
    """The confidence from which F1 is highest on these pictures."""

    confidence: float
    precision: float
    recall: float
    f1: float
    enough: bool = Field(description="false: too few pictures have the label to choose by")


class LabelQuality(Public):
    """One label over all confidences; the curve is given as columns, surest first."""

    label: str
    support: int
    average_precision: float = Field(description="0 where support is 0")
    precision: float
    recall: float
    f1: float
    threshold: Annotated[Threshold | None, BeforeValidator(lambda one: one if one.f1 else None)] = Field(
        description="null where nothing is ever found"
    )
    curve_recall: Many[float]
    curve_precision: Many[float]
    curve_confidence: Many[float]


class Subset(Public):
    """Pictures, or objects, that have something in common."""

    kind: str = Field(description="label, board, brightness, seen, count or size")
    name: str
    count: int
    share: float = Field(description="right, or found")
    low: float = Field(description="Wilson interval, 95 % over all subsets together")
    high: float
    gap: float = Field(description="share of the whole minus share")
    finding: bool = Field(description="the whole lies above the interval: hardly chance")


class Figures(Public):
    """All figures of an evaluation; curves and subsets are empty in lists."""

    task: str
    images: int
    right_images: int
    accuracy: float = Field(description="share of pictures that are wholly right")
    mean_average_precision: float = Field(description="over the labels; of detections at an overlap of 0.5")
    mean_average_precision_50_95: float
    labels: Many[str] = Field(description='rows and columns of confusion; "" = no object')
    confusion: Many[int] = Field(description="row = truth, column = predicted")
    classes: Many[ClassMetrics]
    qualities: Many[LabelQuality]
    subsets: Many[Subset] = Field(description="furthest below the whole first")
    unknown_labels: Many[str] = Field(description="of the version; the model does not know them")
    absent_labels: Many[str] = Field(description="of the model; no picture of the version has them")
    seen_images: int = Field(description="that the model was trained on")
    wrong_capture_ids: Many[str]
    found_boxes: int
    missed_boxes: int
    confused_boxes: int
    false_boxes: int


class EvaluationPublic(Public):
    """A model, float or converted, on a part of a data set version: poll it while `ended_at` is null."""

    id: str
    project_id: str
    model_id: str
    version_id: str
    target: str = Field(description='"" = the float network')
    part: str
    confidence: float
    skip_unreadable: bool
    state: EvaluationState
    progress: float
    seconds_left: float
    log: Many[str]
    error: str
    figures: Annotated[Figures | None, BeforeValidator(lambda one: one if one.images else None)] = Field(
        description="once it is done"
    )
    created_at: Time
    ended_at: Time


class EvaluationCreate(BaseModel):
    """What to evaluate, and on what."""

    version_id: Id
    target: TargetId = Field(default=FLOAT, description='"float", or the target of a converted file')
    part: Part = Field(default="validation", description="of the version")
    confidence: float = Field(
        default=0.0, ge=0, lt=1, description="from which an object counts as found; 0 = suggested"
    )
    skip_unreadable: bool = Field(
        default=False, description="pictures that cannot be read are left out and named in the log"
    )


class OutcomeBox(Public):
    """An object, a found box, or both; boxes are left, top, right, bottom as shares of the picture."""

    kind: str = Field(description="found, missed, confused or false")
    truth: str
    predicted: str
    confidence: float
    truth_box: Many[float]
    found_box: Many[float]


class OutcomePublic(Public):
    """One picture."""

    capture_id: str
    right: bool
    truth: str
    predicted: str
    confidence: float
    board_id: str
    brightness: float = Field(description="mean luma, 0 to 1")
    seen: bool = Field(description="the model was trained on it")
    boxes: Many[OutcomeBox]


class OutcomePage(Public):
    """Pictures, the surest errors first."""

    outcomes: Many[OutcomePublic]
    next_page_token: str = Field(description='"" = the last page')
    total: int


class ComparisonPublic(Public):
    """Two evaluations over the pictures that both have."""

    first: EvaluationPublic
    second: EvaluationPublic
    common_images: int
    first_right: int
    second_right: int
    mended: Many[str] = Field(description="captures that only the second gets right")
    broken: Many[str] = Field(description="captures that only the first gets right")
    chance: float = Field(description="of a difference so large if both were equally good: the exact sign test")


@router.post("/models/{model_id}/evaluations", status_code=201, summary="Evaluate on a data set version")
async def start_evaluation(model_id: Id, body: EvaluationCreate, context: Here) -> EvaluationPublic:
    values = body.model_dump() | {"target": "" if body.target == FLOAT else body.target}
    request = pb.StartEvaluationRequest(model_id=model_id, **values)
    return EvaluationPublic.of((await ask(context.upstream.evaluations.StartEvaluation(request))).evaluation)


@router.get("/models/{model_id}/evaluations", summary="Evaluations of a model, newest first")
async def list_evaluations(model_id: Id, context: Here) -> list[EvaluationPublic]:
    request = pb.ListEvaluationsRequest(model_id=model_id)
    return EvaluationPublic.all_of((await ask(context.upstream.evaluations.ListEvaluations(request))).evaluations)


@router.get("/evaluations/{evaluation_id}", summary="One evaluation with all its figures")
async def get_evaluation(evaluation_id: Id, context: Here) -> EvaluationPublic:
    request = pb.GetEvaluationRequest(evaluation_id=evaluation_id)
    return EvaluationPublic.of((await ask(context.upstream.evaluations.GetEvaluation(request))).evaluation)


@router.post("/evaluations/{evaluation_id}/stop", summary="Stop an evaluation")
async def stop_evaluation(evaluation_id: Id, context: Here) -> EvaluationPublic:
    request = pb.StopEvaluationRequest(evaluation_id=evaluation_id)
    return EvaluationPublic.of((await ask(context.upstream.evaluations.StopEvaluation(request))).evaluation)


@router.post("/evaluations/{evaluation_id}/resume", summary="Go on after the last answer")
async def resume_evaluation(evaluation_id: Id, context: Here) -> EvaluationPublic:
    request = pb.ResumeEvaluationRequest(evaluation_id=evaluation_id)
    return EvaluationPublic.of((await ask(context.upstream.evaluations.ResumeEvaluation(request))).evaluation)


@router.get("/evaluations/{evaluation_id}/outcomes", summary="Pictures right and wrong")
async def list_outcomes(
    evaluation_id: Id,
    context: Here,
    kind: Kind = "",
    truth: Annotated[str | None, Query(max_length=64, description="pictures where this label …")] = None,
    predicted: Annotated[str | None, Query(max_length=64, description="… got this answer")] = None,
    subset_kind: Annotated[str, Query(max_length=16, description="pictures of a subset of the figures …")] = "",
    subset_name: Annotated[str, Query(max_length=64, description="… by its name")] = "",
    page_size: Annotated[int, Query(ge=1, le=500)] = 60,
    page_token: Annotated[str, Query(max_length=32)] = "",
) -> OutcomePage:
    request = pb.ListOutcomesRequest(
        evaluation_id=evaluation_id,
        kind=kind,
        truth=truth,
        predicted=predicted,
        subset_kind=subset_kind,
        subset_name=subset_name,
        page_size=page_size,
        page_token=page_token,
    )
    return OutcomePage.of(await ask(context.upstream.evaluations.ListOutcomes(request)))


@router.get("/evaluations/{evaluation_id}/compare/{other_id}", summary="Two evaluations picture by picture")
async def compare_evaluations(evaluation_id: Id, other_id: Id, context: Here) -> ComparisonPublic:
    request = pb.CompareEvaluationsRequest(first_id=evaluation_id, second_id=other_id)
    return ComparisonPublic.of(await ask(context.upstream.evaluations.CompareEvaluations(request)))
