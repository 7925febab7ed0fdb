"""What a person may set about a training; the resolved values travel inside every checkpoint and model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from services.common.errors import InvalidInput
from services.trainer.augmentation.changes import Changes

__all__ = [
    "DETECTION_DEFAULTS", "HEADS", "Backbone", "Pooling", "Task", "TrainingConfig", "default_head", "field_faults",
    "parse_config",
]  # fmt: skip

Task = Literal["classification", "detection"]
HEADS: dict[str, Task] = {  # the first of a task is its default
    "classifier": "classification", "yolo2": "detection", "anchor_free": "detection",
}  # fmt: skip
# where a detector does better with another value than TrainingConfig's own (bench/scene_detector.py)
DETECTION_DEFAULTS: dict[str, float] = {
    "learning_rate": 2e-3, "weight_decay": 0.02, "rotate": 0.0, "shift": 0.15, "zoom": 0.35, "brightness": 0.2,
    "contrast": 0.25, "colour": 0.15,
}  # fmt: skip

Backbone = Literal[
    "mobilenet_v1_0.25", "mobilenet_v1_0.5", "mobilenet_v1_0.75", "mobilenet_v1_1.0",
    "mobilenet_v1_1.0_cut8",
    "mobilenet_v2_0.35", "mobilenet_v2_0.5", "mobilenet_v2_0.75", "mobilenet_v2_1.0",
    "efficientnet_lite0", "efficientnet_lite2",
    "resnet18_0.25", "resnet18_0.5", "resnet18_1.0",
    "darknet_slim_0.5", "darknet_slim_1.0",
    "tiny_cnn",
]  # fmt: skip
Pooling = Literal["average", "peaks"]


class TrainingConfig(Changes):
    """Parameters of a training; docs/training.md has a sentence on each for the person who sets them."""

    backbone: Backbone = "mobilenet_v1_0.5"
    head: Literal["classifier", "yolo2", "anchor_free"] = "classifier"
    pooling: Pooling = "average"
    input_size: int = Field(default=128, ge=96, le=320, multiple_of=32)
    input_height: int = Field(default=0, ge=0, le=320, multiple_of=32)
    weights: str = ""
    weights_sha256: str = ""
    epochs: int = Field(default=15, ge=1, le=1000)
    batch_size: int = Field(default=16, ge=2, le=256)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    final_learning_rate: float = Field(default=0.02, ge=0, le=1)
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup_epochs: float = Field(default=1.0, ge=0, le=100)
    weight_decay: float = Field(default=0.05, ge=0, le=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    balance_classes: bool = False
    ema: float = Field(default=0.99, ge=0, lt=1)
    patience: int = Field(default=0, ge=0, le=1000)
    keep: Literal["best", "last"] = "best"
    freeze: float = Field(default=0.0, ge=0, le=1)
    distil: Backbone | Literal[""] = ""
    distil_weights: str = ""
    qat_epochs: int = Field(default=0, ge=0, le=100)
    workers: int = Field(default=0, ge=0, le=64)
    skip_unreadable: bool = False
    negatives: bool = True
    seed: int = Field(default=0, ge=0, lt=2**31)
    threads: int = Field(default=0, ge=0, le=256)
    cache_mib: int = Field(default=2048, ge=0)

    @property
    def height(self) -> int:
        """Of the input, pixels; `input_size` is its width."""
        return self.input_height or self.input_size

    @field_validator("input_height")
    @classmethod
    def _tall(cls, value: int) -> int:
        if 0 < value < 96:
            raise ValueError("0, for a square input, or 96 to 320")
        return value

    @field_validator("weights_sha256")
    @classmethod
    def _hex(cls, value: str) -> str:
        if value and (len(value) != 64 or set(value.lower()) - set("0123456789abcdef")):
            raise ValueError("a sha256 has 64 hexadecimal digits")
        return value.lower()

    @model_validator(mode="after")
    def _enough(self) -> TrainingConfig:
        if self.workers > 1 and self.batch_size < 2 * self.workers:
            raise ValueError(f"batch_size {self.batch_size} is less than two pictures a worker of {self.workers}")
        return self


def default_head(task: Task) -> str:
    """Of a training that names none."""
    return next(head for head, its in HEADS.items() if its == task)


def parse_config(text: str) -> TrainingConfig:
    """A TrainingConfig from JSON; absent fields take their defaults. InvalidInput names each wrong field."""
    try:
        return TrainingConfig.model_validate_json(text or "{}")
    except ValidationError as error:
        raise InvalidInput(
            "TRAINING_PARAMETERS",
            f"The training parameters are wrong: {field_faults(error)}.",
            fix="docs/training.md lists every parameter and its range.",
        ) from error


def field_faults(error: ValidationError) -> str:
    """Each wrong field and why, in one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors())
