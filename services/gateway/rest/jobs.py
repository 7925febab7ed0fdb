"""Training jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from services.gateway.context import Here
from services.gateway.rest.shapes import Id, Many, Public, Time, absent_as_null, enum_words
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["jobs"])

JobState = Annotated[
    Literal["NONE", "QUEUED", "FETCHING", "TRAINING", "CONVERTING", "DONE", "FAILED", "STOPPED", "INTERRUPTED"],
    enum_words(pb.JobState, "JOB_STATE_"),
]

Priority = Annotated[
    int, Field(ge=-100, le=100, description="of the queued jobs the highest begins first, of equal ones the oldest")
]
Share = Annotated[float | None, Field(ge=0, le=1)]


class TrainingParameters(Public):
    """Parameters of a job; what is left out gets the trainer's default."""

    backbone: str = Field(default="", max_length=64, examples=["mobilenet_v1_0.5"])
    input_size: int = Field(default=0, ge=0, le=320, description="pixels, 96 to 320, multiple of 32; 0 = 128")
    input_height: int = Field(
        default=0, ge=0, le=320, description="pixels, as input_size, which is then the width; 0 = square"
    )
    epochs: int = Field(default=0, ge=0, le=1000, description="0 = 15")
    batch_size: int = Field(default=0, ge=0, le=512, description="0 = 16")
    learning_rate: float = Field(default=0.0, ge=0, le=10, description="0 = the default of the optimiser")
    seed: int = Field(default=0, ge=0, lt=2**63)
    weights: str = Field(
        default="", max_length=500, description='"imagenet" (default), "none", "model:<id>", a path or address'
    )
    target: str = Field(default="", max_length=64, description='"" = "k210-kmodel-v3"')
    max_accuracy_drop: float | None = Field(
        default=None, ge=0, le=1, description="a conversion that costs more accuracy fails the job; null = 0.03"
    )
    allow_oversize: bool = Field(default=False, description="convert also what a full firmware has no memory for")
    optimizer: Literal["", "adamw", "sgd"] = Field(default="", description='"" = "adamw"')
    schedule: Literal["", "cosine", "linear"] = Field(default="", description='"" = "cosine"')
    final_learning_rate: Share = Field(default=None, description="share of learning_rate at the end; null = 0.02")
    warmup_epochs: float | None = Field(default=None, ge=0, le=100, description="null = 1")
    weight_decay: Share = Field(default=None, description="null = 0.05")
    label_smoothing: Share = Field(default=None, description="below 1; null = 0.1")
    dropout: Share = Field(default=None, description="below 1; null = 0.2")
    ema: Share = Field(default=None, description="decay of the running average of the weights; 0 = none; null = 0.99")
    patience: int = Field(default=0, ge=0, le=1000, description="epochs without a better one that end it; 0 = never")
    keep: Literal["", "best", "last"] = Field(default="", description='the epoch that is kept; "" = "best"')
    pooling: Literal["", "average", "peaks"] = Field(
        default="", description='of classifiers: what is made of the last map; "" = "average"'
    )
    freeze: float = Field(default=0.0, ge=0, le=1, description="share of the backbone's layers that are not trained")
    balance_classes: bool = Field(default=False, description="rare labels count as much as frequent ones")
    distil: str = Field(default="", max_length=64, description='backbone of a teacher; "" = none')
    workers: int = Field(default=0, ge=0, le=64, description="processes that share each batch; 0 = 1")
    qat_epochs: int = Field(
        default=0, ge=0, le=100, description="epochs of quantisation-aware fine-tuning for an 8-bit target; 0 = none"
    )
    flip_horizontal: bool | None = Field(default=None, description="null = true")
    flip_vertical: bool = False
    quarter_turns: bool = Field(default=False, description="turned by 0, 90, 180 or 270 degrees")
    rotate: float | None = Field(default=None, ge=0, le=180, description="degrees; null = 5")
    shift: Share = Field(default=None, le=0.5, description="share of the picture; null = 0.05")
    zoom: Share = Field(default=None, le=0.5, description="null = 0.05")
    brightness: Share = Field(default=None, description="null = 0.15")
    contrast: Share = Field(default=None, description="null = 0.15")
    erase: float = Field(default=0.0, ge=0, le=0.9, description="share of each side of a grey rectangle")
    flip_horizontal_probability: Share = Field(default=None, description="null = 0.5")
    flip_vertical_probability: Share = Field(default=None, description="null = 0.5")
    quarter_turns_probability: Share = Field(default=None, description="null = 1")
    rotate_probability: Share = Field(default=None, description="null = 1")
    shift_probability: Share = Field(default=None, description="null = 1")
    zoom_probability: Share = Field(default=None, description="null = 1")
    crop: float = Field(default=0.0, ge=0, le=0.8, description="share of each side cut away")
    crop_probability: Share = Field(default=None, description="null = 0.5")
    brightness_probability: Share = Field(default=None, description="null = 1")
    contrast_probability: Share = Field(default=None, description="null = 1")
    colour: Share = Field(default=None, description="contrast of red, green and blue; null = 0")
    colour_probability: Share = Field(default=None, description="null = 1")
    hue: float = Field(default=0.0, ge=0, le=180, description="degrees")
    hue_probability: Share = Field(default=None, description="null = 0.5")
    saturation: float = Field(default=0.0, ge=0, le=1, description="share")
    saturation_probability: Share = Field(default=None, description="null = 0.5")
    blur: float = Field(default=0.0, ge=0, le=5, description="sigma in pixels")
    blur_probability: Share = Field(default=None, description="null = 0.5")
    noise: float = Field(default=0.0, ge=0, le=0.5, description="standard deviation, share of white")
    noise_probability: Share = Field(default=None, description="null = 0.5")
    jpeg: float = Field(default=0.0, ge=0, le=0.95, description="share of the quality lost")
    jpeg_probability: Share = Field(default=None, description="null = 0.5")
    nearest: float = Field(default=0.0, ge=0, le=0.8, description="share of rows and columns dropped")
    nearest_probability: Share = Field(default=None, description="null = 0.5")
    erase_probability: Share = Field(default=None, description="null = 0.5")
    mixup: float = Field(default=0.0, ge=0, le=1, description="of classifiers: share of another picture")
    mixup_probability: Share = Field(default=None, description="null = 0.5")
    mosaic: bool = Field(default=False, description="of detections: parts of four pictures in one")
    mosaic_probability: Share = Field(default=None, description="null = 0.5")
    least_visible: Share = Field(default=None, description="of a box, for it to stay; above 0; null = 0.4")
    skip_unreadable: bool = Field(default=False, description="leave out pictures that cannot be read")
    head: Literal["", "classifier", "yolo2", "anchor_free"] = Field(
        default="", description='"" = the head of weights "model:<id>", or by the version\'s task'
    )
    negatives: bool | None = Field(default=None, description="pictures without boxes are trained on; null = true")


class DetectionMetrics(Public):
    """Of a detector after an epoch."""

    map50: float = Field(description="on the validation split, 0 to 1")
    map50_95: float
    box_loss: float
    object_loss: float
    class_loss: float


class EpochMetrics(Public):
    """One epoch."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    images_per_second: float
    detection: Annotated[DetectionMetrics | None, Field(description="null: of a classifier")]

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, message: Any) -> Any:
        return absent_as_null(message, "detection")


class JobPublic(Public):
    """A job: poll it while `ended_at` is null."""

    id: str
    project_id: str
    version_id: str
    parameters: TrainingParameters
    state: JobState
    progress: float = Field(description="0 to 1 over all stages")
    seconds_left: float = Field(description="estimate; 0 = unknown")
    epochs: Many[EpochMetrics]
    log: Many[str] = Field(description="the last 200 lines; empty in lists")
    error: str
    model_id: str = Field(description="once registered")
    created_at: Time
    ended_at: Time
    priority: Priority
    queue_position: int = Field(description="1 = the next job to begin; 0 = not queued")


class JobCreate(BaseModel):
    """What to train on, and how."""

    version_id: Id
    parameters: TrainingParameters = TrainingParameters()
    priority: Priority = 0


class JobPriority(BaseModel):
    """A queued job's new priority."""

    priority: Priority


@router.post("/projects/{project_id}/jobs", status_code=201, summary="Start a training job")
async def start_job(project_id: Id, body: JobCreate, context: Here) -> JobPublic:
    parameters = pb.TrainingParameters(**body.parameters.model_dump())
    request = pb.StartJobRequest(
        project_id=project_id, version_id=body.version_id, parameters=parameters, priority=body.priority
    )
    return JobPublic.of((await ask(context.upstream.training.StartJob(request))).job)


@router.get("/projects/{project_id}/jobs", summary="Jobs, newest first")
async def list_jobs(project_id: Id, context: Here) -> list[JobPublic]:
    request = pb.ListJobsRequest(project_id=project_id)
    return JobPublic.all_of((await ask(context.upstream.training.ListJobs(request))).jobs)


@router.get("/jobs/{job_id}", summary="One job with its curves and log")
async def get_job(job_id: Id, context: Here) -> JobPublic:
    return JobPublic.of((await ask(context.upstream.training.GetJob(pb.GetJobRequest(job_id=job_id)))).job)


@router.post("/jobs/{job_id}/stop", summary="Stop early and keep the best epoch")
async def stop_job(job_id: Id, context: Here) -> JobPublic:
    return JobPublic.of((await ask(context.upstream.training.StopJob(pb.StopJobRequest(job_id=job_id)))).job)


@router.put("/jobs/{job_id}/priority", summary="Move a queued job in the queue")
async def set_job_priority(job_id: Id, body: JobPriority, context: Here) -> JobPublic:
    request = pb.SetJobPriorityRequest(job_id=job_id, priority=body.priority)
    return JobPublic.of((await ask(context.upstream.training.SetJobPriority(request))).job)


@router.post("/jobs/{job_id}/resume", summary="Go on from the last checkpoint")
async def resume_job(job_id: Id, context: Here) -> JobPublic:
    return JobPublic.of((await ask(context.upstream.training.ResumeJob(pb.ResumeJobRequest(job_id=job_id)))).job)
