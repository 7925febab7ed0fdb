"""What a model answered to every picture of an evaluation, beside the truth: all figures follow from it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.common.errors import InvalidInput
from services.trainer.detection import Box, Detection, Truth

__all__ = ["Answers", "Classified", "Detected", "Facts", "Picture", "Task"]

Task = Literal["classification", "detection"]
_DIGITS = 6


@dataclass(frozen=True)
class Facts:
    """What is known of a picture, whatever is in it.

    `board_id` "" = uploaded by a person; `brightness`: mean luma, 0 to 1; `seen`: the model, or one that it was
    trained on from, was trained on this picture.
    """

    capture_id: str
    board_id: str = ""
    brightness: float = 0.5
    seen: bool = False


@dataclass(frozen=True)
class Classified:
    """`truth`: index of the true label; `scores`: probability of each label that the model knows."""

    facts: Facts
    truth: int
    scores: tuple[float, ...]

    @property
    def predicted(self) -> int:
        return max(range(len(self.scores)), key=self.scores.__getitem__)

    @property
    def confidence(self) -> float:
        return max(self.scores)


@dataclass(frozen=True)
class Detected:
    """`size`: width and height of the picture in pixels; `found`: surest first, from a confidence near 0 on."""

    facts: Facts
    size: tuple[int, int]
    truths: tuple[Truth, ...]
    found: tuple[Detection, ...]


Picture = Classified | Detected


@dataclass(frozen=True)
class Answers:
    """`labels`: the model's, `known` of them, then those of the version that the model does not know."""

    task: Task
    labels: tuple[str, ...]
    known: int
    pictures: tuple[Picture, ...]

    def pack(self) -> bytes:
        """Gzipped JSON lines: a head, then one line a picture."""
        head = {"task": self.task, "labels": self.labels, "known": self.known}
        return gzip.compress("\n".join(json.dumps(line) for line in (head, *map(to_line, self.pictures))).encode(), 6)

    @classmethod
    def parse(cls, data: bytes) -> Answers:
        head, *lines = gzip.decompress(data).decode().split("\n")
        values = json.loads(head)
        return cls(values["task"], tuple(values["labels"]), values["known"], of_lines(values["task"], lines))

    def classified(self) -> list[Classified]:
        return [picture for picture in self.pictures if isinstance(picture, Classified)]

    def detected(self) -> list[Detected]:
        return [picture for picture in self.pictures if isinstance(picture, Detected)]

    def check(self) -> None:
        """InvalidInput EVALUATION_EMPTY: there is no picture; EVALUATION_SHAPE: one does not fit the labels."""
        if not self.pictures:
            raise InvalidInput(
                "EVALUATION_EMPTY",
                "There is no picture to evaluate on.",
                fix="Choose another part of the version, or a version with pictures.",
            )
        for picture in self.pictures:
            if not self._fits(picture):
                raise InvalidInput(
                    "EVALUATION_SHAPE",
                    f"The answer to capture {picture.facts.capture_id} does not fit the {len(self.labels)} labels, "
                    f"{self.known} of them known to the model.",
                    fix="Start the evaluation again.",
                )

    def _fits(self, picture: Picture) -> bool:
        if isinstance(picture, Classified):
            return len(picture.scores) == self.known and 0 <= picture.truth < len(self.labels)
        named = all(0 <= truth.label < len(self.labels) for truth in picture.truths)
        return named and all(0 <= found.label < self.known for found in picture.found)


def to_line(picture: Picture) -> dict[str, Any]:
    """Plain JSON values; `of_lines` takes them back."""
    facts = picture.facts
    line: dict[str, Any] = {"id": facts.capture_id, "board": facts.board_id, "seen": facts.seen}
    line["brightness"] = round(facts.brightness, 4)
    if isinstance(picture, Classified):
        return line | {"truth": picture.truth, "scores": [round(score, _DIGITS) for score in picture.scores]}
    line["size"] = picture.size
    line["truths"] = [[truth.label, *_rounded(truth.box)] for truth in picture.truths]
    found = [[one.label, round(one.confidence, _DIGITS), *_rounded(one.box)] for one in picture.found]
    return line | {"found": found}


def of_lines(task: Task, lines: Iterable[str]) -> tuple[Picture, ...]:
    return tuple(_picture(task, json.loads(line)) for line in lines if line)


def _picture(task: Task, line: dict[str, Any]) -> Picture:
    facts = Facts(line["id"], line["board"], line["brightness"], line["seen"])
    if task == "classification":
        return Classified(facts, line["truth"], tuple(line["scores"]))
    truths = tuple(Truth(label, Box(*box)) for label, *box in line["truths"])
    found = tuple(Detection(label, confidence, Box(*box)) for label, confidence, *box in line["found"])
    return Detected(facts, (line["size"][0], line["size"][1]), truths, found)


def _rounded(box: Sequence[float]) -> list[float]:
    return [round(side, _DIGITS) for side in box]
