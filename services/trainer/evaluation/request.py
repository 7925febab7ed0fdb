"""What the child process of an evaluation is to do: request.json in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from services.common.errors import InvalidInput
from services.trainer.evaluation.answers import Task

__all__ = ["PARTS", "Part", "Request", "checked_confidence", "checked_part"]

Part = Literal["validation", "train", "all"]
PARTS: tuple[Part, ...] = ("validation", "train", "all")
_FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """`labels`: the model's, in the order of its outputs; `version_labels`: the version's, in the project's order.

    `target` "" = the float network; `seen`: captures that it was trained on; `head` and `anchors` (in cells, of a
    yolo2): how the map of a detector is read; `skip_unreadable`: pictures that cannot be read are left out.
    """

    task: Task
    labels: tuple[str, ...]
    version_labels: tuple[str, ...]
    target: str
    width: int
    height: int
    part: Part
    confidence: float
    seen: tuple[str, ...] = ()
    anchors: tuple[tuple[float, float], ...] = ()
    skip_unreadable: bool = False
    head: str = "yolo2"

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The model's, then those that only the version has."""
        return (*self.labels, *(label for label in self.version_labels if label not in self.labels))

    def write(self, folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Request:
        values = json.loads((folder / _FILE).read_text())
        plain = {name: tuple(values[name]) for name in ("labels", "version_labels", "seen")}
        return cls(**values | plain | {"anchors": tuple((pair[0], pair[1]) for pair in values["anchors"])})


def checked_part(part: str) -> Part:
    """ "" is the validation split; InvalidInput names the parts that there are."""
    for known in PARTS:
        if part in ("", known):
            return known
    raise InvalidInput(
        "EVALUATION_PART",
        f"A version has no part {part!r}.",
        fix=f"Choose one of: {', '.join(PARTS)}.",
        field="part",
    )


def checked_confidence(confidence: float) -> float:
    """InvalidInput unless it is at least 0 and below 1."""
    if not 0 <= confidence < 1:
        raise InvalidInput(
            "EVALUATION_CONFIDENCE",
            f"confidence is {confidence}; it is at least 0 and below 1.",
            fix="0 takes the suggested threshold of each label.",
            field="confidence",
        )
    return confidence
