"""Pages and counts, on both databases."""

from __future__ import annotations

import pytest

from services.common.errors import InvalidInput, NotFound
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from tests.collector.conftest import Rooms


def pages(rooms: Rooms, size: int, **chosen: str) -> list[list[str]]:
    request = pb.ListCapturesRequest(filter=pb.CaptureFilter(**chosen), page_size=size)
    found = []
    while True:
        response = rooms.browser.page(request)
        found.append([capture.id for capture in response.captures])
        if not response.next_page_token:
            return found
        request.page_token = response.next_page_token


def test_pages_are_newest_first_and_miss_nothing(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", [])
    ids = [capture_id for count in (3, 1, 3) for capture_id in reversed(sorted(rooms.stored(project.id, "", count)))]
    newest_first = [*ids[4:], *ids[3:4], *ids[:3]]
    found = pages(rooms, 2, project_id=project.id)
    assert [len(page) for page in found] == [2, 2, 2, 1]
    assert [capture_id for page in found for capture_id in page] == newest_first


def test_a_page_stays_where_it_was_when_captures_arrive(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", [])
    rooms.stored(project.id, "", 4)
    request = pb.ListCapturesRequest(filter=pb.CaptureFilter(project_id=project.id), page_size=2)
    first = rooms.browser.page(request)
    expected = [capture.id for capture in rooms.browser.page(pb.ListCapturesRequest(filter=request.filter)).captures]
    rooms.stored(project.id, "", 3)
    request.page_token = first.next_page_token
    assert [capture.id for capture in rooms.browser.page(request).captures] == expected[2:]


def test_filters(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    a = rooms.stored(project.id, "a", 2)
    [b] = rooms.stored(project.id, "b", board_id="bbbbbbbbbb")
    [none] = rooms.stored(project.id, "")
    assert set(pages(rooms, 10, project_id=project.id, label="a")[0]) == set(a)
    assert pages(rooms, 10, project_id=project.id, label="") == [[none]]
    assert pages(rooms, 10, project_id=project.id, board_id="bbbbbbbbbb") == [[b]]
    assert pages(rooms, 10, project_id=project.id, board_id="bbbbbbbbbb", label="a") == [[]]


def test_bad_requests(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", [])
    chosen = pb.CaptureFilter(project_id=project.id)
    with pytest.raises(InvalidInput, match="500"):
        rooms.browser.page(pb.ListCapturesRequest(filter=chosen, page_size=501))
    for token in ("x", "!!", "MjAyNi0xMS0yMg==", "é"):
        with pytest.raises(InvalidInput) as refused:
            rooms.browser.page(pb.ListCapturesRequest(filter=chosen, page_token=token))
        assert refused.value.reason == "BAD_PAGE_TOKEN"
    with pytest.raises(NotFound):
        rooms.browser.page(pb.ListCapturesRequest())
    with pytest.raises(NotFound):
        rooms.browser.count("0" * 12)


def test_counts_follow_every_change_and_the_revision_grows(rooms: Rooms) -> None:
    project = rooms.projects.create("cells", ["a", "b"])
    revisions = []

    def counted() -> tuple[int, dict[str, int], dict[str, int]]:
        response = rooms.browser.count(project.id)
        revisions.append(response.revision)
        labels = {entry.label: entry.count for entry in response.labels}
        return response.total, labels, {entry.board_id: entry.count for entry in response.boards}

    assert counted() == (0, {"a": 0, "b": 0}, {})
    ids = rooms.stored(project.id, "a", 3)
    assert counted() == (3, {"a": 3, "b": 0}, {"aaaaaaaaaa": 3})
    rooms.captures.set_label(ids[:1], "")
    assert counted() == (3, {"a": 2, "b": 0, "": 1}, {"aaaaaaaaaa": 3})
    rooms.captures.delete(ids[:2])
    assert counted() == (1, {"a": 1, "b": 0}, {"aaaaaaaaaa": 1})
    rooms.projects.set_labels(project.id, ["a"])
    assert counted() == (1, {"a": 1}, {"aaaaaaaaaa": 1})
    assert revisions == sorted(set(revisions))
    assert rooms.browser.count(project.id).revision == revisions[-1]
