"""Boxes of captures and the versions for detection made of them, on both databases."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from PIL import Image
from sqlalchemy import text

from services.collector.boxes import MOST, checked_boxes
from services.collector.models import Base, Capture, Version, VersionItem
from services.collector.pictures import check_jpeg
from services.collector.service import MIGRATIONS
from services.common.database import Database
from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from tests.collector.boards import make_jpeg
from tests.collector.conftest import Rooms

NAN = float("nan")


def box(label: str = "cat", x: float = 0.25, y: float = 0.25, width: float = 0.5, height: float = 0.5) -> pb.Box:
    return pb.Box(label=label, x=x, y=y, width=width, height=height)


def boxed(rooms: Rooms, project_id: str, count: int, *boxes: pb.Box) -> list[str]:
    ids = rooms.stored(project_id, "", count)
    for capture_id in ids:
        rooms.captures.set_boxes(capture_id, boxes)
    return ids


def revision(rooms: Rooms, project_id: str) -> int:
    return rooms.browser.count(project_id).revision


def test_boxes_are_kept_replaced_and_taken_away(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat", "dog"])
    [capture_id] = rooms.stored(project.id)
    before = revision(rooms, project.id)
    assert not rooms.captures.get(capture_id).boxed
    stored = rooms.captures.set_boxes(capture_id, [box("dog"), box("cat", 0, 0, 1, 1)])
    assert rooms.captures.get(capture_id) == stored
    assert (stored.boxed, list(stored.boxes)) == (True, [box("dog"), box("cat", 0, 0, 1, 1)])
    background = rooms.captures.set_boxes(capture_id, [])
    assert (background.boxed, list(background.boxes)) == (True, [])
    assert not rooms.captures.set_boxes(capture_id, None).boxed
    assert revision(rooms, project.id) == before + 3


@pytest.mark.parametrize(
    ("bad", "reason", "words"),
    [
        (box("cow"), "UNKNOWN_LABEL", "box 2: the project has no label 'cow'; it has cat"),
        (box(""), "UNKNOWN_LABEL", "box 2: no label"),
        (box(x=NAN), "BAD_BOX", "box 2 .*not made of finite numbers"),
        (box(height=float("inf")), "BAD_BOX", "finite"),
        (box(width=0), "BAD_BOX", "no area"),
        (box(height=-0.1), "BAD_BOX", "no area"),
        (box(x=-0.01), "BAD_BOX", "reaches out of the picture"),
        (box(x=0.75, width=0.3), "BAD_BOX", "reaches out"),
        (box(y=0.99, height=0.011), "BAD_BOX", "reaches out"),
        (box(width=0.9 / 16), "BAD_BOX", "smaller than a pixel of 16 x 16"),
    ],
)
def test_a_bad_box_is_named_by_its_number(rooms: Rooms, bad: pb.Box, reason: str, words: str) -> None:
    project = rooms.projects.create("yard", ["cat"])
    [capture_id] = boxed(rooms, project.id, 1, box())
    with pytest.raises(InvalidInput, match=words) as refused:
        rooms.captures.set_boxes(capture_id, [box(), bad])
    assert (refused.value.reason, refused.value.metadata["box"]) == (reason, "2")
    assert list(rooms.captures.get(capture_id).boxes) == [box()]


def test_rounding_does_not_push_a_box_out() -> None:
    [row] = checked_boxes([box("cat", 1 - 0.9, -1e-9, 0.9 + 1e-9, 1)], ["cat"], 100, 100)
    assert row[2] == 0
    assert row[1] + row[3] <= 1
    assert row[4] == 1


def test_too_many_boxes_and_an_absent_capture_are_refused(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat"])
    [capture_id] = rooms.stored(project.id)
    with pytest.raises(InvalidInput, match="501 boxes, at most 500"):
        rooms.captures.set_boxes(capture_id, [box()] * (MOST + 1))
    with pytest.raises(NotFound):
        rooms.captures.set_boxes("0" * 32, [box()])


def test_an_upload_brings_its_boxes_and_a_duplicate_fills_in_what_is_absent(rooms: Rooms) -> None:
    project, jpeg = rooms.projects.create("yard", ["cat"]), make_jpeg(1, 16, 16)
    plain = rooms.new(project.id, board_id="")
    with_boxes = rooms.new(project.id, board_id="", capture_id=plain.capture_id, boxes=[box()])
    background = rooms.new(project.id, board_id="", capture_id=plain.capture_id, boxes=[])
    assert not rooms.captures.upload(plain, jpeg)[0].boxed
    before = revision(rooms, project.id)
    filled, duplicate = rooms.captures.upload(with_boxes, jpeg)
    assert (duplicate, list(filled.boxes), revision(rooms, project.id)) == (True, [box()], before + 1)
    assert rooms.captures.upload(background, jpeg) == (filled, True)
    rooms.captures.delete([plain.capture_id])
    assert list(rooms.captures.upload(background, jpeg)[0].boxes) == []
    with pytest.raises(InvalidInput, match="box 1"):
        rooms.captures.upload(rooms.new(project.id, board_id="", boxes=[box("cow")]), jpeg)


def test_a_label_that_boxes_use_stays(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat", "dog"])
    [capture_id] = boxed(rooms, project.id, 1, box("dog"), box("dog"))
    with pytest.raises(FailedPrecondition, match=r"dog \(2 boxes\)"):
        rooms.projects.set_labels(project.id, ["cat"])
    rooms.captures.set_boxes(capture_id, None)
    assert list(rooms.projects.set_labels(project.id, ["cat"]).labels) == ["cat"]


def test_the_boxed_are_counted_and_listed(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat"])
    rooms.stored(project.id, "", 2)
    ids = [*boxed(rooms, project.id, 2, box()), *boxed(rooms, project.id, 1)]
    assert (rooms.browser.count(project.id).boxed, rooms.browser.count(project.id).total) == (3, 5)
    for wanted, count in ((True, 3), (False, 2)):
        chosen = pb.CaptureFilter(project_id=project.id, boxed=wanted)
        page = rooms.browser.page(pb.ListCapturesRequest(filter=chosen)).captures
        assert len(page) == count
        assert ({capture.id for capture in page} == set(ids)) is wanted


def test_a_detection_version_freezes_the_boxed(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat", "dog"])
    ids = [*boxed(rooms, project.id, 10, box("dog"), box("cat"), box("dog")), *boxed(rooms, project.id, 5)]
    rooms.stored(project.id, "cat", 4)
    version = rooms.datasets.create(project.id, 1, 0.3, pb.TASK_DETECTION)
    items = list(rooms.datasets.stream(version.id))
    assert (version.task, version.background_count) == (pb.TASK_DETECTION, 5)
    assert [(entry.label, entry.count) for entry in version.label_counts] == [("cat", 10), ("dog", 20)]
    assert sorted(item.capture_id for item in items) == sorted(ids)
    assert sum(item.split == pb.SPLIT_VALIDATION for item in items) == version.validation_count > 0
    assert {len(item.boxes) for item in items} == {0, 3}
    rooms.captures.set_boxes(ids[0], [])
    assert list(rooms.datasets.stream(version.id)) == items


def test_the_hash_of_a_detection_version_covers_boxes_in_any_order(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat", "dog"])
    ids = boxed(rooms, project.id, 4, box("cat"), box("dog"))

    def frozen() -> str:
        return rooms.datasets.create(project.id, 1, 0.5, pb.TASK_DETECTION).sha256

    first = frozen()
    rooms.captures.set_boxes(ids[0], [box("dog"), box("cat")])
    rooms.captures.set_label(ids, "cat")  # what detection does not look at
    assert frozen() == first
    rooms.captures.set_boxes(ids[0], [box("dog"), box("cat", x=0.26)])
    assert frozen() != first


def test_each_side_of_a_detection_version_has_boxes_and_no_picture_is_on_both(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat"])
    boxed(rooms, project.id, 2, box())
    boxed(rooms, project.id, 6)
    for seed in range(8):
        items = list(rooms.datasets.stream(rooms.datasets.create(project.id, seed, 0.1, pb.TASK_DETECTION).id))
        assert {item.split for item in items if item.boxes} == {pb.SPLIT_TRAIN, pb.SPLIT_VALIDATION}


@pytest.mark.parametrize(
    ("with_boxes", "reason", "words"),
    [(0, "NO_BOXES", "has 0 different pictures with boxes.*3 are marked as background, 2 are not boxed"),
     (1, "TOO_FEW_CAPTURES", "has 1 different pictures.*needs 2: one to train with, one to validate with")],
)  # fmt: skip
def test_too_few_boxes_for_a_version_are_told(rooms: Rooms, with_boxes: int, reason: str, words: str) -> None:
    project = rooms.projects.create("yard", ["cat"])
    rooms.stored(project.id, "", 2)
    boxed(rooms, project.id, 3)
    boxed(rooms, project.id, with_boxes, box())
    with pytest.raises(FailedPrecondition, match=words) as refused:
        rooms.datasets.create(project.id, 1, 0.5, pb.TASK_DETECTION)
    assert refused.value.reason == reason


def test_one_picture_twice_does_not_make_two_sides(rooms: Rooms) -> None:
    project, jpeg = rooms.projects.create("yard", ["cat"]), make_jpeg(1, 16, 16)
    twice = [rooms.new(project.id, board_id="", boxes=[box()], sha256="f" * 64) for _ in range(2)]
    for new in twice:
        rooms.captures.upload(new, jpeg)
    with pytest.raises(FailedPrecondition, match="has 1 different pictures"):
        rooms.datasets.create(project.id, 1, 0.5, pb.TASK_DETECTION)


def test_an_unknown_task_is_refused(rooms: Rooms) -> None:
    project = rooms.projects.create("yard", ["cat"])
    with pytest.raises(InvalidInput, match="task 7"):
        rooms.datasets.create(project.id, 1, 0.5, 7)  # type: ignore[arg-type]


def test_a_picture_that_lies_on_its_side_has_its_upright_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    size = check_jpeg(out.getvalue(), 10_000)
    assert (size.width, size.height) == (20, 40)


def test_a_database_of_the_version_before_keeps_what_it_has(any_database_url: str) -> None:
    database = Database(any_database_url, "collector")
    database.migrate(MIGRATIONS)
    with database.session() as session:
        for column in ("captures.boxes", "captures.boxed", "version_items.boxes"):
            session.execute(text(f"ALTER TABLE {column.replace('.', ' DROP COLUMN ')}"))
        for column in ("task", "background_count"):
            session.execute(text(f"ALTER TABLE versions DROP COLUMN {column}"))
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        now = {"now": datetime.now(UTC)}
        session.execute(text("INSERT INTO projects VALUES ('p', 'yard', :now, 7)"), now)
        session.execute(text("INSERT INTO captures VALUES ('c','p','','',1,1,1,'s','k',NULL,:now,NULL)"), now)
        session.execute(text("INSERT INTO versions VALUES ('v','p',1,'1',0.5,'[]',1,0,'{}','s',:now)"), now)
        session.execute(text("INSERT INTO version_items VALUES ('v','c','a',1,'s','k')"))
    database.migrate(MIGRATIONS)
    with database.session(read_only=True) as session:
        capture, version = session.get(Capture, "c"), session.get(Version, "v")
        item = session.get(VersionItem, ("v", "c"))
        assert capture is not None and version is not None and item is not None
        assert (capture.boxes, capture.boxed, version.task, item.boxes) == ([], False, pb.TASK_CLASSIFICATION, [])
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()
