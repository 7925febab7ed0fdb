from __future__ import annotations

from dataclasses import replace

from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.trainer.preflight.counts import count_labels, count_problems, version_errors, without_broken
from services.trainer.preflight.look import Seen


def seen(label: str, train: int, validation: int, *boxes: tuple[str, float, float]) -> list[Seen]:
    splits = ["train"] * train + ["validation"] * validation
    return [Seen(f"{label}{i}", label, split, 1, boxes) for i, split in enumerate(splits)]


def version(pictures: list[Seen], labels: tuple[str, ...] = ("a", "b"), detection: bool = False) -> c.DatasetVersion:
    train = sum(one.split == "train" for one in pictures)
    found = [name for one in pictures for name in ([box[0] for box in one.boxes] if detection else [one.label])]
    counts = [c.LabelCount(label=label, count=found.count(label)) for label in labels]
    return c.DatasetVersion(
        labels=labels, train_count=train, validation_count=len(pictures) - train, label_counts=counts,
        task=c.TASK_DETECTION if detection else c.TASK_CLASSIFICATION,
    )  # fmt: skip


def codes(pictures: list[Seen], balanced: bool = False, **more: object) -> set[str]:
    found = version(pictures, **more)  # type: ignore[arg-type]
    return {one.code for one in count_problems(found, pictures, 128, 128, balanced)}


def test_enough_of_each_label_is_no_problem() -> None:
    assert not codes(seen("a", 40, 8) + seen("b", 30, 6))


def test_a_label_of_few_pictures_in_one_split_only_is_named() -> None:
    assert codes(seen("a", 30, 4) + seen("b", 12, 0)) == {"few_pictures", "never_validated"}
    assert codes(seen("a", 30, 4) + seen("b", 0, 3)) == {"never_trained"}
    assert codes(seen("a", 30, 4) + seen("b", 30, 4), labels=("a", "b", "c")) == {"label_unused"}


def test_imbalance_is_said_with_its_ratio_unless_labels_are_balanced() -> None:
    pictures = seen("a", 100, 10) + seen("b", 25, 5)
    found = count_problems(version(pictures), pictures, 128, 128, balanced=False)
    assert [one.facts["ratio"] for one in found] == ["4.0"] and "Balance labels" in found[0].fix
    assert not codes(pictures, balanced=True)


def test_one_label_and_an_empty_split_are_errors() -> None:
    assert [one.code for one in version_errors(version(seen("a", 9, 3)))] == ["one_label"]
    assert [one.code for one in version_errors(version(seen("a", 9, 0) + seen("b", 9, 0)))] == ["split_empty"]


def test_pictures_that_will_be_left_out_count_nowhere() -> None:
    broken = [replace(one, id=f"x{one.id}", error="cut") for one in seen("b", 4, 2)]
    pictures = seen("a", 30, 4) + seen("b", 22, 3) + broken
    used, left = without_broken(version(pictures), pictures)
    assert [(one.train, one.validation) for one in count_labels(used, left)] == [(30, 4), (22, 3)]
    assert (used.train_count, used.validation_count) == (52, 7) and not count_problems(used, left, 128, 128, False)
    gone = [replace(one, error="cut") for one in seen("b", 22, 3)]
    assert [one.code for one in version_errors(without_broken(version(seen("a", 9, 3) + gone), gone)[0])] == [
        "one_label"
    ]


def test_boxes_of_pictures_that_will_be_left_out_count_nowhere() -> None:
    boxed = seen("", 30, 30, ("a", 0.5, 0.5))
    pictures = [replace(one, error="cut") if index % 3 == 0 else one for index, one in enumerate(boxed)]
    used, left = without_broken(version(pictures, ("a",), detection=True), pictures)
    assert [(one.train, one.validation) for one in count_labels(used, left)] == [(20, 20)]


def test_boxes_are_counted_and_tiny_ones_and_background_said() -> None:
    boxed = seen("", 30, 30, ("a", 0.5, 0.5), ("b", 0.02, 0.02))
    assert [(one.train, one.validation) for one in count_labels(version(boxed, detection=True), boxed)] == [
        (30, 30)
    ] * 2
    assert codes(boxed, detection=True) == {"tiny_boxes"}
    assert codes(boxed + seen("", 90, 9), detection=True) == {"tiny_boxes", "background"}
