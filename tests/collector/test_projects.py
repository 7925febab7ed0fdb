"""Projects and their labels, on both databases."""

from __future__ import annotations

import pytest

from services.common.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from tests.collector.conftest import Rooms


def test_labels_keep_their_order(rooms: Rooms) -> None:
    made = rooms.projects.create("cells", ["functional", "defective"])
    assert list(made.labels) == ["functional", "defective"]
    changed = rooms.projects.set_labels(made.id, ["unclear", "defective", "functional"])
    assert list(changed.labels) == ["unclear", "defective", "functional"]
    assert rooms.projects.get(made.id) == changed
    assert rooms.projects.labels(made.id) == ("unclear", "defective", "functional")


def test_a_name_is_taken_once(rooms: Rooms) -> None:
    rooms.projects.create("cells", [])
    with pytest.raises(AlreadyExists, match="'cells'"):
        rooms.projects.create(" cells ", [])
    assert [project.name for project in rooms.projects.list()] == ["cells"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "two\nlines", "nul\0"])
def test_a_bad_name_is_refused(rooms: Rooms, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rooms.projects.create(name, [])
    assert refused.value.reason == "BAD_PROJECT_NAME"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([""], "BAD_LABEL"),
        (["x" * 33], "BAD_LABEL"),
        ([" a"], "BAD_LABEL"),
        (["a\0"], "BAD_LABEL"),
        (["a", "a"], "DUPLICATE_LABEL"),
        ([str(number) for number in range(101)], "TOO_MANY_LABELS"),
    ],
)
def test_bad_labels_are_refused(rooms: Rooms, labels: list[str], reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rooms.projects.create("cells", labels)
    assert refused.value.reason == reason


def test_a_label_in_use_stays(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    [capture_id] = rooms.stored(project.id, "b")
    with pytest.raises(FailedPrecondition, match=r"b \(1 captures\)"):
        rooms.projects.set_labels(project.id, ["a"])
    assert rooms.projects.labels(project.id) == ("a", "b")
    rooms.captures.set_label([capture_id], "a")
    assert list(rooms.projects.set_labels(project.id, ["a"]).labels) == ["a"]


def test_changes_are_told(rooms: Rooms) -> None:
    told: list[str] = []
    rooms.projects.changed = told.append
    project = rooms.projects.create("cells", ["a"])
    rooms.projects.set_labels(project.id, ["a", "b"])
    assert told == [project.id] * 2


def test_an_unknown_project_is_not_found(rooms: Rooms) -> None:
    assert rooms.projects.labels("0" * 12) is None
    with pytest.raises(NotFound):
        rooms.projects.get("0" * 12)
    with pytest.raises(NotFound):
        rooms.projects.set_labels("0" * 12, ["a"])
