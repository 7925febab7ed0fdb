"""How far a converted file answers like the float network: what the trainer measures, REST answers and pages show.

The figures come from the chip's simulator over the whole validation split; those of the layers from the calibration
images. Shares, scores and confidences lie in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from services.common.errors import InvalidInput

__all__ = ["Answer", "Change", "ClassChange", "Fidelity", "Histogram", "LayerNoise", "Score"]


@dataclass(frozen=True)
class Score:
    """One measure of quality: "accuracy", or "mAP50" and "mAP50-95" of a detector."""

    name: str
    floating: float
    converted: float


@dataclass(frozen=True)
class Answer:
    """What a network says of one picture; a detector's strongest find, "" when it finds nothing."""

    label: str
    confidence: float


@dataclass(frozen=True)
class Change:
    """A picture to which the file gives another answer than the float network. `truth`: "" = not known."""

    capture_id: str
    truth: str
    floating: Answer
    converted: Answer


@dataclass(frozen=True)
class LayerNoise:
    """A layer of the file in the order it runs; `snr_db` of its output, None where the converter cannot look in."""

    name: str
    type: str
    unit: str  # "KPU", "NPU", "CPU" …
    snr_db: float | None


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` pictures between `edges[i]` and `edges[i + 1]`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ClassChange:
    """Recall of one label, or average precision at IoU 0.5 of a detector; `support`: pictures, or objects."""

    label: str
    support: int
    floating: float
    converted: float


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """A converted file beside its float network. Without known answers `scores` and `classes` are empty."""

    target: str
    task: Literal["classifier", "detector"]
    images: int
    scores: tuple[Score, ...]
    max_accuracy_drop: float  # the limit that it was held to
    agreement: float  # share of pictures with the float network's answer
    output_snr_db: float
    layers: tuple[LayerNoise, ...]
    weakest_layer: str  # where the signal-to-noise ratio falls most; "" = no layer was looked into
    changed_count: int
    changed: tuple[Change, ...]  # at most ten, the largest loss of confidence first
    confidence: Histogram  # change of the confidence in the float network's answer
    classes: tuple[ClassChange, ...]

    @property
    def drop(self) -> float:
        """How much of the strictest score the conversion cost; 0 where nothing is known, or won."""
        return max((score.floating - score.converted for score in self.scores), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; `from_json` takes them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: object) -> Fidelity:
        """InvalidInput (FIDELITY_BROKEN) names the field that is missing or wrong."""
        try:
            return _ADAPTER.validate_python(values)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise InvalidInput(
                "FIDELITY_BROKEN", f"These are no fidelity figures: {where}: {fault['msg']}.", fix="Convert again."
            ) from error


_ADAPTER = TypeAdapter(Fidelity)
