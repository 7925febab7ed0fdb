"""TrainingParameters of the contract made complete, and turned into the TrainingConfig that the worker reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.common.errors import InvalidInput
from services.rpc.boardloop.trainer.v1 import trainer_pb2
from services.trainer.augmentation.changes import Changes
from services.trainer.choices import Choices, check_target
from services.trainer.config import DETECTION_DEFAULTS, HEADS, Task, TrainingConfig, default_head, field_faults
from services.trainer.convert import check_head
from services.trainer.models import Model
from services.trainer.published import PUBLISHED, fetch, published
from services.trainer.quantisation import check_tunable
from services.trainer.settings import TrainerSettings
from services.trainer.weights import local_copy

__all__ = [
    "DEFAULT_TARGET",
    "MODEL",
    "changes",
    "check_pooling",
    "check_weights",
    "choices",
    "from_scratch_warning",
    "pretrained",
    "resolved",
    "settings",
    "starting_weights",
    "teachers_weights",
    "weights_source",
]

DEFAULT_TARGET = "k210-kmodel-v3"
MODEL = "model:"  # and the id of a registered model
# fields of the contract that are TrainingConfig's under the same name; "" and an absent value are its default
_SETTINGS = (
    "optimizer", "schedule", "final_learning_rate", "warmup_epochs", "weight_decay", "label_smoothing", "dropout",
    "ema", "patience", "keep", "freeze", "balance_classes", "distil", "head", "pooling", "negatives", "qat_epochs",
    "workers", "skip_unreadable",
    *(name for name in Changes.model_fields if name != "sampling"),  # that stands in config.json alone
)  # fmt: skip
IMAGENET = "imagenet"
NONE = "none"
PRETRAINED_BACKBONES = tuple(one.backbones for one in PUBLISHED)
ADDRESS = ("http://", "https://")


def resolved(
    asked: trainer_pb2.TrainingParameters,
    trainer: TrainerSettings,
    model: Callable[[str], Model] | None = None,
    task: Task = "classification",
) -> trainer_pb2.TrainingParameters:
    """Every zero replaced by its default. InvalidInput names each parameter that is out of range or not allowed.

    `model` finds a registered model by its id, for weights "model:<id>": backbone, input size and pooling are then its
    own.
    `task`: of the data set version.
    """
    default = TrainingConfig.model_validate(DETECTION_DEFAULTS if task == "detection" else {})
    start = model(asked.weights.removeprefix(MODEL)) if model and asked.weights.startswith(MODEL) else None
    if start and start.task == task:
        default = default.model_copy(update={"pooling": start.pooling})
    parameters = trainer_pb2.TrainingParameters()
    parameters.CopyFrom(asked)
    parameters.backbone = asked.backbone or (start.backbone if start else default.backbone)
    parameters.input_size = asked.input_size or (start.input_size if start else default.input_size)
    square = start.input_height if start and not asked.input_size else parameters.input_size
    parameters.input_height = asked.input_height or square
    parameters.epochs = asked.epochs or default.epochs
    parameters.batch_size = asked.batch_size or default.batch_size
    parameters.learning_rate = asked.learning_rate or default.learning_rate
    parameters.weights = asked.weights or IMAGENET
    parameters.target = asked.target or DEFAULT_TARGET
    parameters.max_accuracy_drop = choices(asked).max_accuracy_drop
    parameters.head = asked.head or _usual_head(start, task)
    for name, value in settings(config(parameters, "", 0, default)).items():
        setattr(parameters, name, value)
    check_weights(parameters.weights, trainer)
    _check_task(parameters, task)
    _check_fit(parameters, start)
    check_target(parameters.target)
    check_head(parameters.head, parameters.target)
    return parameters


def _usual_head(start: Model | None, task: Task) -> str:
    """That of the model to go on from, if it is of this task; else the task's first."""
    return start.head if start and start.task == task else default_head(task)


def settings(config: TrainingConfig) -> dict[str, Any]:
    """Those of a configuration that the contract carries under the same name."""
    return config.model_dump(include=set(_SETTINGS))


def _said(asked: trainer_pb2.TrainingParameters) -> dict[str, Any]:
    """The settings that a message says something about."""
    fields = {field.name: field for field in asked.DESCRIPTOR.fields if field.name in _SETTINGS}
    said = {}
    for name, field in fields.items():
        value = getattr(asked, name)
        if asked.HasField(name) if field.has_presence else value != "":  # type: ignore[arg-type]
            said[name] = value
    return said


def changes(asked: trainer_pb2.TrainingParameters, detection: bool) -> Changes:
    """How pictures would be changed; what the message says nothing about has the task's default. InvalidInput."""
    usual, said = (
        {name: value for name, value in values.items() if name in Changes.model_fields}
        for values in (DETECTION_DEFAULTS if detection else {}, _said(asked))
    )
    try:
        return Changes.model_validate(usual | said)
    except ValidationError as error:
        raise _wrong(error) from error


def _wrong(error: ValidationError) -> InvalidInput:
    return InvalidInput(
        "TRAINING_PARAMETERS",
        f"The training parameters are wrong: {field_faults(error)}.",
        fix="docs/training.md lists every parameter and its range.",
    )


def choices(asked: trainer_pb2.TrainingParameters | trainer_pb2.ConvertModelRequest) -> Choices:
    """What a job's parameters, or a request, say about the conversion. InvalidInput for a value out of range."""
    drop = asked.max_accuracy_drop if asked.HasField("max_accuracy_drop") else None
    weight_range = asked.weight_range if isinstance(asked, trainer_pb2.ConvertModelRequest) else ""
    return Choices.of(drop, asked.allow_oversize, weight_range)


def config(
    parameters: trainer_pb2.TrainingParameters,
    weights: str,
    threads: int,
    default: TrainingConfig | None = None,
    distil_weights: str = "",
) -> TrainingConfig:
    """The worker's configuration; `weights` is the path of the fetched file, or "" for random ones, `distil_weights`
    the same for a teacher.

    `default`: what is not said; TrainingConfig's own when there is none.
    """
    values: dict[str, Any] = {
        **(settings(default) if default else {}),
        "backbone": parameters.backbone,
        "input_size": parameters.input_size,
        "input_height": 0 if parameters.input_height == parameters.input_size else parameters.input_height,
        "epochs": parameters.epochs,
        "batch_size": parameters.batch_size,
        "learning_rate": parameters.learning_rate,
        "seed": parameters.seed,
        "weights": weights,
        "distil_weights": distil_weights,
        "threads": threads,
        **_said(parameters),
    }
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        raise _wrong(error) from error


def check_weights(weights: str, settings: TrainerSettings) -> None:
    """InvalidInput (WEIGHTS_NOT_ALLOWED) for a path or address that is nobody's business on this machine.

    Whoever may start a job could otherwise read its files, and ask other machines for things with its address. The
    answer is the same whether the file exists or not.
    """
    if weights in (IMAGENET, NONE) or weights.startswith(MODEL):
        return
    places = [place.strip() for place in settings.weights_allowed.split(",") if place.strip()]
    addresses = [place for place in places if place.startswith(ADDRESS)]
    folders = [settings.cache_dir / "weights", *(Path(place) for place in places if place not in addresses)]
    if weights.startswith(ADDRESS):
        good = any(weights.startswith(address.rstrip("/") + "/") for address in addresses)
    else:
        good = "\0" not in weights and any(Path(weights).resolve().is_relative_to(one.resolve()) for one in folders)
    if not good:
        raise InvalidInput(
            "WEIGHTS_NOT_ALLOWED",
            f"A job may not start from {weights!r} here.",
            fix=f"Put the file into {folders[0]}, or name its folder or address in BOARDLOOP_WEIGHTS_ALLOWED.",
        )


def _check_task(parameters: trainer_pb2.TrainingParameters, task: Task) -> None:
    """InvalidInput for a head of another task than the data set version's; a detector has no teacher and no pooling."""
    if HEADS[parameters.head] != task:
        fitting = " or ".join(f'"{head}"' for head, its in HEADS.items() if its == task)
        raise InvalidInput(
            "HEAD_OF_ANOTHER_TASK",
            f"The data set version is for {task}, and the head {parameters.head} is for {HEADS[parameters.head]}.",
            fix=f"Choose the head {fitting}, or leave it out; or choose another data set version.",
        )
    if task == "classification":
        return
    if parameters.distil:
        raise InvalidInput(
            "DISTIL_DETECTOR",
            "A detector has no teacher: distillation is for classifiers.",
            fix="Leave distil out.",
        )
    check_pooling(parameters.pooling, parameters.head)


def check_pooling(pooling: str, head: str) -> None:
    """InvalidInput for peaks of a detector."""
    if pooling == "peaks" and HEADS[head] != "classification":
        raise InvalidInput(
            "POOLING_DETECTOR",
            "A detector answers for each place of its map and pools nothing: pooling is for classifiers.",
            fix="Leave pooling out.",
        )


def _check_fit(parameters: trainer_pb2.TrainingParameters, start: Model | None) -> None:
    """InvalidInput for a file or model of one network to start another one from."""
    backbone = parameters.backbone
    if parameters.qat_epochs:
        check_tunable(parameters.target)
    if parameters.weights.startswith(MODEL):
        if start is not None and start.backbone != backbone:
            raise InvalidInput(
                "WEIGHTS_OF_ANOTHER_NETWORK",
                f"Model {start.id} is a {start.backbone}, and the backbone is {backbone}.",
                fix=f"Choose the backbone {start.backbone}, or leave it out.",
            )
        if parameters.distil:
            raise InvalidInput(
                "DISTIL_FROM_MODEL",
                "A training that goes on from a model has no teacher.",
                fix='Leave out distil, or start from "imagenet".',
            )
    elif parameters.weights not in (IMAGENET, NONE) and not backbone.startswith(PRETRAINED_BACKBONES):
        raise InvalidInput(
            "WEIGHTS_OF_ANOTHER_NETWORK",
            f"{parameters.weights} would be weights of a MobileNetV1 or an EfficientNet-Lite, and the backbone is "
            f"{backbone}.",
            fix='Choose a backbone with ImageNet weights, or weights "none" to train from random ones.',
        )


def starting_weights(asked: trainer_pb2.TrainingParameters) -> str:
    """The weights a job really starts from: "none" where "imagenet" is asked for and there are none of the backbone."""
    absent = asked.weights == IMAGENET and not asked.backbone.startswith(PRETRAINED_BACKBONES)
    return NONE if absent else asked.weights


def from_scratch_warning(asked: trainer_pb2.TrainingParameters) -> str:
    """A line for the job's log when a training starts from random weights though others were asked for, or ""."""
    if starting_weights(asked) == asked.weights:
        return ""
    return (
        f"Warning: there are no ImageNet weights for {asked.backbone}, only for MobileNetV1 and EfficientNet-Lite. The "
        "training starts from scratch: it needs many more pictures and epochs to become as good."
    )


def pretrained(weights: str, backbone: str, settings: TrainerSettings) -> Path | None:
    """The file to start a backbone from, downloaded when it has to be; None for "none", or where there is none of the
    backbone. Errors as in services.trainer.weights and services.trainer.published."""
    if weights == NONE:
        return None
    check_weights(weights, settings)
    if weights != IMAGENET:
        return local_copy(weights, settings.cache_dir)
    found = published(backbone)
    return fetch(found, settings.cache_dir) if found else None


def teachers_weights(asked: trainer_pb2.TrainingParameters) -> str:
    """The weights that a teacher starts from: the network's own where it is of the same kind, else "imagenet"."""
    own = published(asked.backbone)
    alike = own is not None and own == published(asked.distil)
    return asked.weights if alike or asked.weights == NONE else IMAGENET


def weights_source(weights: str, backbone: str) -> str:
    """Where the pretrained weights came from, in words for the model's page."""
    found = published(backbone)
    if weights == IMAGENET and found:
        return found.source
    return "none: trained from random weights" if weights in (IMAGENET, NONE) else weights
