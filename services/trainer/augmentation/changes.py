"""How often and how strongly training pictures are changed: the table of kinds, and the model with their values."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["KINDS", "Changes", "Kind", "Sampling"]

Sampling = Literal["bilinear", "bicubic"]


class Kind(NamedTuple):
    """One kind of change: its strength is the field `name` of Changes, its probability `<name>_probability`."""

    name: str
    strong: float | bool  # a strength that shows its effect, for pictures of it and for tests

    @property
    def probability(self) -> str:
        return f"{self.name}_probability"


KINDS = (
    Kind("flip_horizontal", True),
    Kind("flip_vertical", True),
    Kind("quarter_turns", True),
    Kind("rotate", 30.0),
    Kind("shift", 0.25),
    Kind("zoom", 0.4),
    Kind("crop", 0.5),
    Kind("brightness", 0.35),
    Kind("contrast", 0.7),
    Kind("colour", 0.5),
    Kind("hue", 60.0),
    Kind("saturation", 0.9),
    Kind("blur", 3.0),
    Kind("noise", 0.15),
    Kind("jpeg", 0.9),
    Kind("nearest", 0.6),
    Kind("erase", 0.4),
    Kind("mixup", 0.6),
    Kind("mosaic", True),
)


class Changes(BaseModel):
    """Strengths and probabilities; a strength is the most that is drawn, evenly from none on. 0 or False: never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip_horizontal: bool = True
    flip_horizontal_probability: float = Field(default=0.5, ge=0, le=1)
    flip_vertical: bool = False
    flip_vertical_probability: float = Field(default=0.5, ge=0, le=1)
    quarter_turns: bool = False
    quarter_turns_probability: float = Field(default=1.0, ge=0, le=1)
    rotate: float = Field(default=5.0, ge=0, le=180)  # degrees
    rotate_probability: float = Field(default=1.0, ge=0, le=1)
    shift: float = Field(default=0.05, ge=0, le=0.5)  # share of the picture
    shift_probability: float = Field(default=1.0, ge=0, le=1)
    zoom: float = Field(default=0.05, ge=0, le=0.5)
    zoom_probability: float = Field(default=1.0, ge=0, le=1)
    crop: float = Field(default=0.0, ge=0, le=0.8)  # share of each side that is cut away
    crop_probability: float = Field(default=0.5, ge=0, le=1)
    brightness: float = Field(default=0.15, ge=0, le=1)
    brightness_probability: float = Field(default=1.0, ge=0, le=1)
    contrast: float = Field(default=0.15, ge=0, le=1)
    contrast_probability: float = Field(default=1.0, ge=0, le=1)
    colour: float = Field(default=0.0, ge=0, le=1)  # contrast of red, green and blue, each on its own
    colour_probability: float = Field(default=1.0, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=180)  # degrees
    hue_probability: float = Field(default=0.5, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)
    saturation_probability: float = Field(default=0.5, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=5)  # sigma in pixels
    blur_probability: float = Field(default=0.5, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0, le=0.5)  # standard deviation, share of white
    noise_probability: float = Field(default=0.5, ge=0, le=1)
    jpeg: float = Field(default=0.0, ge=0, le=0.95)  # share of the quality of 100 that is lost
    jpeg_probability: float = Field(default=0.5, ge=0, le=1)
    nearest: float = Field(default=0.0, ge=0, le=0.8)  # share of rows and columns that is dropped
    nearest_probability: float = Field(default=0.5, ge=0, le=1)
    erase: float = Field(default=0.0, ge=0, le=0.9)  # share of each side
    erase_probability: float = Field(default=0.5, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0, le=1)  # share of another picture; of classifications only
    mixup_probability: float = Field(default=0.5, ge=0, le=1)
    mosaic: bool = False  # of detections only
    mosaic_probability: float = Field(default=0.5, ge=0, le=1)
    sampling: Sampling = "bilinear"  # of turned, shifted, zoomed and cropped pictures
    least_visible: float = Field(default=0.4, gt=0, le=1)  # share of a box that must be left for it to stay

    def uses(self, name: str) -> bool:
        """Whether the kind `name` ever happens."""
        return bool(getattr(self, name)) and getattr(self, f"{name}_probability") > 0
