from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from services.common.database import Database
from services.common.errors import NotFound
from services.trainer.service import MIGRATIONS
from services.trainer.store import Changes, JobStore

MEASURED = {
    "train_loss": 0.5,
    "validation_loss": 0.6,
    "validation_accuracy": 0.7,
    "learning_rate": 1e-3,
    "images_per_second": 90.0,
}


@pytest.fixture
def store(any_database_url: str) -> Iterator[JobStore]:
    database = Database(any_database_url, "trainer")
    database.migrate(MIGRATIONS)
    yield JobStore(database)
    database.close()


def test_a_job_is_found_with_its_epochs(store: JobStore) -> None:
    job = store.create("project", "version", {"epochs": 3})
    store.add_epoch(job.id, "second", 0.4, 9.0, epoch=2, **MEASURED)
    store.add_epoch(job.id, "first", 0.2, 12.0, epoch=1, **MEASURED)
    found = store.get(job.id)
    assert [epoch.epoch for epoch in found.epochs] == [1, 2]
    assert (found.state, found.progress, found.seconds_left) == ("QUEUED", 0.2, 12.0)
    assert store.log(job.id) == ["second", "first"]


def test_an_epoch_done_again_replaces_the_former(store: JobStore) -> None:
    job = store.create("project", "version", {})
    store.add_epoch(job.id, "", 0.1, 0, epoch=1, **MEASURED)
    store.add_epoch(job.id, "", 0.1, 0, epoch=1, **MEASURED | {"train_loss": 0.25})
    assert [epoch.train_loss for epoch in store.get(job.id).epochs] == [0.25]


def test_a_change_only_in_some_states_tells_whether_it_happened(store: JobStore) -> None:
    job = store.create("project", "version", {})
    assert not store.change(job.id, only_in=("TRAINING",), state="DONE", line="no")
    assert store.change(job.id, only_in=("QUEUED",), state="DONE", line="yes")
    assert store.get(job.id).state == "DONE" and store.log(job.id) == ["yes"]


def test_jobs_of_a_project_come_newest_first(store: JobStore) -> None:
    first, second = store.create("a", "v", {}), store.create("a", "v", {})
    store.create("b", "v", {})
    assert [job.id for job in store.of_project("a")] == [second.id, first.id]
    assert store.in_states("QUEUED")[:2] == [first.id, second.id]


def test_the_log_keeps_its_end(store: JobStore) -> None:
    job = store.create("project", "version", {})
    for index in range(205):
        store.change(job.id, line=f"line {index}")
    assert store.log(job.id) == [f"line {index}" for index in range(5, 205)]


def test_an_unknown_job_is_not_found(store: JobStore) -> None:
    with pytest.raises(NotFound, match="feedfeedfeed"):
        store.get("feedfeedfeed")


def test_the_bell_wakes_who_waits_for_that_job() -> None:
    changes = Changes()
    woken: list[int] = []
    waiter = threading.Thread(target=lambda: woken.append(changes.wait("a", changes.count("a"), 30)))
    waiter.start()
    while waiter.is_alive():  # the bell may ring before the waiter listens
        changes.ring("b")
        changes.ring("a")
        waiter.join(0.05)
    assert woken[0] >= 1
    assert changes.wait("b", changes.count("b"), 0.01) == changes.count("b")
