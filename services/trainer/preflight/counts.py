"""Problems of how many pictures, or boxes, there are of each label and in each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.rpc.boardloop.collector.v1 import collector_pb2
from services.trainer.preflight.look import Seen
from services.trainer.preflight.problems import Problem, error, note, warning

__all__ = ["SplitCount", "count_labels", "count_problems", "version_errors", "without_broken"]

FEW = 20  # pictures of a label to train on, below which chance decides
IMBALANCE = 3.0  # times as many pictures of one label as of another
BACKGROUND = 0.5  # share of pictures without a box
TINY_BOX = 8.0  # pixels at the input: a quarter of a detector's cell
MANY = 0.1


@dataclass(frozen=True)
class SplitCount:
    label: str
    train: int
    validation: int


def without_broken(
    version: collector_pb2.DatasetVersion, seen: Sequence[Seen]
) -> tuple[collector_pb2.DatasetVersion, list[Seen]]:
    """The version, and what was seen of it, as a training with `skip_unreadable` has them."""
    broken = [one for one in seen if one.error]
    splits = Counter(one.split for one in broken)
    labels = Counter(label for one in broken for label in _labels(version, one))
    left = collector_pb2.DatasetVersion()
    left.CopyFrom(version)
    left.train_count -= splits["train"]
    left.validation_count -= splits["validation"]
    for one in left.label_counts:
        one.count -= labels[one.label]
    return left, [one for one in seen if not one.error]


def version_errors(version: collector_pb2.DatasetVersion) -> list[Problem]:
    """What no training can start with; known without a look at the pictures."""
    problems = [
        error("split_empty", split=split)
        for split, count in (("train", version.train_count), ("validation", version.validation_count))
        if not count
    ]
    labels = [one.label for one in version.label_counts if one.count]
    if not _detection(version) and version.label_counts and len(labels) < 2:
        problems.append(error("one_label", label=labels[0] if labels else ""))
    if _detection(version) and version.label_counts and not labels:
        problems.append(error("no_boxes"))
    return problems


def count_labels(version: collector_pb2.DatasetVersion, seen: Sequence[Seen]) -> list[SplitCount]:
    """By label of the version, of the pictures that were looked at; boxes of a detection."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in seen:
        for label in _labels(version, one):
            counts[label, one.split] += 1
    return [SplitCount(label, counts[label, "train"], counts[label, "validation"]) for label in version.labels]


def count_problems(
    version: collector_pb2.DatasetVersion, seen: Sequence[Seen], width: int, height: int, balanced: bool
) -> list[Problem]:
    """`balanced`: balance_classes is on. Says nothing of validation where only a part of the version was seen."""
    counts = count_labels(version, seen)
    used = [one for one in counts if one.train or one.validation]
    whole = len(seen) >= version.train_count + version.validation_count
    share = len(seen) / max(version.train_count + version.validation_count, 1)
    problems = [note("label_unused", label=one.label) for one in counts if one not in used and whole]
    for one in used:
        if not one.train and whole:
            problems.append(warning("never_trained", label=one.label, count=one.validation))
        elif one.train < FEW * share:
            problems.append(warning("few_pictures", label=one.label, count=round(one.train / share), few=FEW))
        if not one.validation and whole:
            problems.append(warning("never_validated", label=one.label))
    problems += _imbalance([one for one in used if one.train], balanced or _detection(version))
    return problems + (_box_problems(version, seen, width, height) if _detection(version) else [])


def _imbalance(counts: list[SplitCount], balanced: bool) -> list[Problem]:
    if len(counts) < 2 or balanced:
        return []
    most, least = max(counts, key=lambda one: one.train), min(counts, key=lambda one: one.train)
    ratio = most.train / least.train
    if ratio < IMBALANCE:
        return []
    return [warning("imbalance", most=most.label, least=least.label, ratio=f"{ratio:.1f}")]


def _box_problems(
    version: collector_pb2.DatasetVersion, seen: Sequence[Seen], width: int, height: int
) -> list[Problem]:
    problems = []
    boxes = [(one, w * width, h * height) for one in seen for _, w, h in one.boxes]
    tiny = [one.id for one, w, h in boxes if min(w, h) < TINY_BOX]
    if len(tiny) > MANY * len(boxes):
        ids, share = tuple(dict.fromkeys(tiny)), f"{len(tiny) / len(boxes):.0%}"
        problems.append(warning("tiny_boxes", ids, share=share, pixels=int(TINY_BOX)))
    empty = sum(not one.boxes for one in seen)
    if seen and empty > BACKGROUND * len(seen):
        problems.append(warning("background", share=f"{empty / len(seen):.0%}"))
    return problems


def _labels(version: collector_pb2.DatasetVersion, one: Seen) -> list[str]:
    """What counts of a picture: its label, or that of each box."""
    return [label for label, _, _ in one.boxes] if _detection(version) else [one.label]


def _detection(version: collector_pb2.DatasetVersion) -> bool:
    return version.task == collector_pb2.TASK_DETECTION
