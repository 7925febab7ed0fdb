"""Data set versions, on both databases."""

from __future__ import annotations

from hashlib import sha256

import pytest

from services.common.errors import FailedPrecondition, Internal, InvalidInput, NotFound
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from tests.collector.conftest import Rooms


def test_a_version_never_changes(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    ids = [*rooms.stored(project.id, "a", 20), *rooms.stored(project.id, "b", 10)]
    rooms.stored(project.id, "", 3)
    version = rooms.datasets.create(project.id, 2**64 - 1, 0.25)
    items = list(rooms.datasets.stream(version.id))
    assert (version.number, version.seed, list(version.labels)) == (1, 2**64 - 1, ["a", "b"])
    assert version.train_count + version.validation_count == 30
    assert [(entry.label, entry.count) for entry in version.label_counts] == [("a", 20), ("b", 10)]
    assert sorted(item.capture_id for item in items) == sorted(ids)
    assert [item.sha256 for item in items] == sorted(item.sha256 for item in items)
    assert sum(item.split == pb.SPLIT_VALIDATION for item in items) == version.validation_count
    assert all(sha256(item.jpeg).hexdigest() == item.sha256 for item in items)
    rooms.captures.set_label(ids[:3], "b")
    rooms.captures.delete(ids[3:6])
    rooms.stored(project.id, "a", 5)
    assert rooms.datasets.get(version.id) == version
    assert list(rooms.datasets.stream(version.id)) == items


def test_a_picture_comes_with_its_board(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    rooms.stored(project.id, "a", 6, "bbbbbbbbbb")
    rooms.stored(project.id, "a", 4, "")
    boards = [item.board_id for item in rooms.datasets.stream(rooms.datasets.create(project.id, 1, 0.5).id)]
    assert sorted(boards) == [""] * 4 + ["bbbbbbbbbb"] * 6


def test_equal_content_has_an_equal_hash(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    rooms.stored(project.id, "a", 10)
    first, again, other = (rooms.datasets.create(project.id, seed, 0.5) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256
    assert [version.number for version in rooms.datasets.list(project.id)] == [3, 2, 1]


def test_later_captures_move_no_other(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    rooms.stored(project.id, "a", 50)
    before = {
        item.capture_id: item.split for item in rooms.datasets.stream(rooms.datasets.create(project.id, 5, 0.3).id)
    }
    rooms.stored(project.id, "a", 50)
    after = {
        item.capture_id: item.split for item in rooms.datasets.stream(rooms.datasets.create(project.id, 5, 0.3).id)
    }
    assert before.items() <= after.items()
    assert len(after) == 100


def test_too_few_captures_name_the_label_and_the_unlabelled(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    rooms.stored(project.id, "a", 2)
    rooms.stored(project.id, "b", 1)
    rooms.stored(project.id, "", 4)
    with pytest.raises(FailedPrecondition, match=r"'b' has 1; 4 captures without a label"):
        rooms.datasets.create(project.id, 1, 0.5)
    assert rooms.datasets.list(project.id) == []


def test_a_project_without_labels_has_no_versions(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", [])
    with pytest.raises(FailedPrecondition, match="no labels"):
        rooms.datasets.create(project.id, 1, 0.5)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_bad_share_is_refused(rooms: Rooms, share: float) -> None:
    project = rooms.projects.create("cells", ["a"])
    with pytest.raises(InvalidInput, match="validation_share"):
        rooms.datasets.create(project.id, 1, share)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_object_is_named(rooms: Rooms, damage: str) -> None:
    project = rooms.projects.create("cells", ["a"])
    rooms.stored(project.id, "a", 2)
    version = rooms.datasets.create(project.id, 1, 0.5)
    key = sorted(rooms.store.keys(""))[1]
    rooms.store.delete(key)
    if damage == "changed":
        rooms.store.put(key, b"\xff\xd8 something else")
    with pytest.raises(Internal, match=f"{key}.*{damage}"):
        list(rooms.datasets.stream(version.id))
    assert sorted(bool(one.jpeg) for one in rooms.datasets.stream(version.id, damaged_too=True)) == [False, True]


def test_unknown_ids_are_not_found(rooms: Rooms) -> None:
    with pytest.raises(NotFound):
        rooms.datasets.get("0" * 12)
    with pytest.raises(NotFound):
        list(rooms.datasets.stream("0" * 12))
    with pytest.raises(NotFound):
        rooms.datasets.list("0" * 12)
