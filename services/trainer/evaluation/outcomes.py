"""Every picture of an evaluation, right or wrong, with what is there and what was found; filtered for a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import InvalidInput
from services.trainer.detection import Box
from services.trainer.evaluation.answers import Answers, Facts
from services.trainer.evaluation.matching import Match
from services.trainer.evaluation.subsets import Group, cases_of_classified, cases_of_detected, groups_of
from services.trainer.evaluation.summary import matches

__all__ = ["KINDS", "Outcome", "OutcomeBox", "Wanted", "outcomes"]

KINDS = ("", "right", "wrong", "missed", "confused", "false")


@dataclass(frozen=True)
class OutcomeBox:
    """An object, a found box, or both: labels "" and boxes None where there is none."""

    kind: str
    truth: str
    predicted: str
    confidence: float
    truth_box: Box | None
    found_box: Box | None


@dataclass(frozen=True)
class Outcome:
    """`truth`, `predicted`: of a classification; `confidence`: of the answer, or of the surest wrong box.

    `groups`: the subsets, (kind, name), that the picture or an object on it belongs to.
    """

    facts: Facts
    right: bool
    truth: str
    predicted: str
    confidence: float
    boxes: tuple[OutcomeBox, ...] = ()
    groups: frozenset[Group] = frozenset()

    def pairs(self) -> set[tuple[str, str]]:
        """The cells of the confusion matrix that the picture is in."""
        return {(box.truth, box.predicted) for box in self.boxes} or {(self.truth, self.predicted)}


@dataclass(frozen=True)
class Wanted:
    """A filter; None takes every label, "" of a detection means nothing there, or nothing found.

    `subset`: (kind, name) of a Subset.
    """

    kind: str = ""
    truth: str | None = None
    predicted: str | None = None
    subset: Group | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(
                "OUTCOME_KIND",
                f"There is no kind of outcome {self.kind!r}.",
                fix=f"Choose one of: {', '.join(KINDS[1:])}.",
                field="kind",
            )

    def takes(self, outcome: Outcome) -> bool:
        if not self._takes_kind(outcome) or (self.subset is not None and self.subset not in outcome.groups):
            return False
        wanted = (self.truth, self.predicted)
        if wanted == (None, None):
            return True
        return any(
            all(want in (None, name) for want, name in zip(wanted, pair, strict=True)) for pair in outcome.pairs()
        )

    def _takes_kind(self, outcome: Outcome) -> bool:
        if self.kind in ("", "right"):
            return not self.kind or outcome.right
        if self.kind == "wrong" or (self.kind == "confused" and not outcome.boxes):
            return not outcome.right
        return any(box.kind == self.kind for box in outcome.boxes)


def outcomes(answers: Answers, confidence: float = 0.0) -> list[Outcome]:
    """The wrong ones first, the surest first; then the right ones, the least sure first."""
    each = _classified(answers) if answers.task == "classification" else _detected(answers, confidence)
    return sorted(each, key=lambda one: (one.right, one.confidence if one.right else -one.confidence))


def _classified(answers: Answers) -> list[Outcome]:
    names, groups = answers.labels, groups_of(cases_of_classified(answers))
    return [
        Outcome(
            one.facts,
            one.truth == one.predicted,
            names[one.truth],
            names[one.predicted],
            one.confidence,
            groups=groups[one.facts.capture_id],
        )
        for one in answers.classified()
    ]


def _detected(answers: Answers, confidence: float) -> list[Outcome]:
    matched = matches(answers, confidence)
    groups = groups_of(cases_of_detected(answers, matched))
    return [
        _of_detection(picture.facts, each, answers.labels, groups.get(picture.facts.capture_id, frozenset()))
        for picture, each in zip(answers.detected(), matched, strict=True)
    ]


def _of_detection(facts: Facts, matched: Sequence[Match], labels: Sequence[str], groups: frozenset[Group]) -> Outcome:
    boxes = tuple(_box(one, labels) for one in matched)
    errors = [box.confidence for box in boxes if box.kind != "found"]
    surest = max(errors or [box.confidence for box in boxes], default=0.0)
    return Outcome(facts, not errors, "", "", surest, boxes, groups)


def _box(one: Match, labels: Sequence[str]) -> OutcomeBox:
    return OutcomeBox(
        one.kind,
        labels[one.truth.label] if one.truth else "",
        labels[one.found.label] if one.found else "",
        one.found.confidence if one.found else 0.0,
        one.truth.box if one.truth else None,
        one.found.box if one.found else None,
    )
