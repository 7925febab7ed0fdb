"""Storing, labelling and deleting captures, on both databases."""

from __future__ import annotations

import threading

import pytest

from services.common.errors import InvalidInput, NotFound
from services.common.frames import AckReason
from tests.collector.boards import make_jpeg
from tests.collector.conftest import Rooms


def test_a_batch_answers_each_capture(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    good, bad = rooms.new(project.id, "a"), rooms.new(project.id, "none")
    assert rooms.captures.store_batch([good, bad, good]) == [
        AckReason.STORED,
        AckReason.UNKNOWN_LABEL,
        AckReason.DUPLICATE,
    ]
    assert rooms.captures.store_batch([good]) == [AckReason.DUPLICATE]
    assert rooms.browser.count(project.id).total == 1


def test_the_same_record_of_another_board_is_another_press(rooms: Rooms) -> None:
    first, second = rooms.projects.create("one", []), rooms.projects.create("two", [])
    new = rooms.new(first.id)
    other = rooms.new(second.id, board_id="bbbbbbbbbb", capture_id=new.capture_id)
    assert rooms.captures.store_batch([new, other]) == [AckReason.STORED] * 2
    assert rooms.captures.store_batch([other, new]) == [AckReason.DUPLICATE] * 2
    assert [rooms.browser.count(project.id).total for project in (first, second)] == [1, 1]


def test_labelling_counts_what_changed(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    ids = [*rooms.stored(project.id, "a", 2), *rooms.stored(project.id, "b")]
    assert rooms.captures.set_label(ids, "b") == 2
    assert rooms.captures.set_label(ids[:1], "") == 1
    assert [rooms.captures.get(capture_id).label for capture_id in ids] == ["", "b", "b"]


def test_a_wrong_label_or_id_changes_nothing(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    ids = rooms.stored(project.id, "a", 2)
    with pytest.raises(InvalidInput, match="'c'"):
        rooms.captures.set_label(ids, "c")
    with pytest.raises(NotFound, match=r"f{32}"):
        rooms.captures.set_label([*ids, "f" * 32], "b")
    with pytest.raises(InvalidInput, match="empty"):
        rooms.captures.set_label([], "b")
    assert {rooms.captures.get(capture_id).label for capture_id in ids} == {"a"}


def test_a_deleted_capture_is_gone_and_stays_known(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", [])
    new = rooms.new(project.id)
    rooms.store.put(new.object_key, make_jpeg(1))
    rooms.captures.store_batch([new])
    assert rooms.captures.delete([new.capture_id, "f" * 32, new.capture_id]) == 1
    assert rooms.captures.delete([new.capture_id]) == 0
    assert not rooms.store.exists(new.object_key)
    assert rooms.captures.is_stored(new.board_id, new.capture_id)
    assert rooms.captures.store_batch([new]) == [AckReason.DUPLICATE]
    with pytest.raises(NotFound):
        rooms.captures.get(new.capture_id)


def test_a_version_keeps_the_objects_of_its_captures(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    held = rooms.stored(project.id, "a", 4)
    version = rooms.datasets.create(project.id, 1, 0.5)
    [later] = rooms.stored(project.id, "a")
    before = list(rooms.datasets.stream(version.id))
    assert rooms.captures.delete([*held, later]) == 5
    assert list(rooms.datasets.stream(version.id)) == before
    assert len(list(rooms.store.keys(""))) == 4


def test_an_upload_comes_once_and_comes_back_after_deletion(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    new, jpeg = rooms.new(project.id, "a", board_id=""), make_jpeg(7)
    stored, duplicate = rooms.captures.upload(new, jpeg)
    assert (stored.id, duplicate) == (new.capture_id, False)
    assert rooms.captures.upload(new, jpeg) == (stored, True)
    rooms.captures.delete([new.capture_id])
    again, duplicate = rooms.captures.upload(new, jpeg)
    assert (again, duplicate) == (stored, False)
    assert rooms.store.get(new.object_key) == jpeg


def test_many_threads_store_each_capture_once(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a"])
    batches = [[rooms.new(project.id, "a") for _ in range(5)] for _ in range(6)]
    answers: list[AckReason] = []

    def store(batch: list) -> None:
        answers.extend(rooms.captures.store_batch(batch))

    threads = [threading.Thread(target=store, args=(batch,)) for batch in [*batches, *batches]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [AckReason.DUPLICATE] * 30 + [AckReason.STORED] * 30
    assert rooms.browser.count(project.id).total == 30
