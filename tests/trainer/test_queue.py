"""Which job begins next: a real store, and a pipeline that only writes down what it was given."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.database import Database
from services.common.errors import FailedPrecondition, InvalidInput
from services.trainer.jobs import Jobs
from services.trainer.pipeline import Run
from services.trainer.service import MIGRATIONS
from services.trainer.store import JobStore


class Line:
    """Works on one job at a time, each only when it is let go."""

    def __init__(self, store: JobStore) -> None:
        self.order: list[str] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self._store = store

    def work(self, run: Run) -> str:
        self._store.change(run.job_id, state="TRAINING")
        self.order.append(run.job_id)
        self.begun.release()
        assert self.go.acquire(timeout=20)
        return "DONE"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[tuple[Jobs, JobStore, Line]]:
    database = Database(f"sqlite:///{tmp_path / 'trainer.db'}", "trainer")
    database.migrate(MIGRATIONS)
    store = JobStore(database)
    line = Line(store)
    jobs = Jobs(store, line, 1)  # type: ignore[arg-type]
    jobs.start()
    yield jobs, store, line
    line.go.release(10)
    jobs.stop()
    database.close()


def started(jobs: Jobs, *priorities: int) -> list[str]:
    return [jobs.submit("p", "v", {}, priority).id for priority in priorities]


def test_the_highest_priority_begins_first_then_the_oldest(queue: tuple[Jobs, JobStore, Line]) -> None:
    jobs, store, line = queue
    (running,) = started(jobs, 0)
    assert line.begun.acquire(timeout=20)
    low, first, second, high = started(jobs, -1, 0, 0, 7)
    assert store.queue() == [high, first, second, low]
    for _ in range(4):
        line.go.release()
        assert line.begun.acquire(timeout=20)
    assert line.order == [running, high, first, second, low]


def test_a_queued_job_can_be_moved_and_a_running_one_cannot(queue: tuple[Jobs, JobStore, Line]) -> None:
    jobs, store, line = queue
    (running,) = started(jobs, 0)
    assert line.begun.acquire(timeout=20)
    first, second = started(jobs, 0, 0)
    assert jobs.prioritise(second, 1).priority == 1 and store.queue() == [second, first]
    with pytest.raises(FailedPrecondition, match="only a queued job"):
        jobs.prioritise(running, 1)
    with pytest.raises(InvalidInput, match="-100 to 100"):
        jobs.prioritise(first, 101)


def test_a_cancelled_job_leaves_the_queue_at_once(queue: tuple[Jobs, JobStore, Line]) -> None:
    jobs, store, line = queue
    started(jobs, 0)
    assert line.begun.acquire(timeout=20)
    first, second = started(jobs, 0, 0)
    assert jobs.ask_stop(first).state == "STOPPED" and store.queue() == [second]
    line.go.release()
    assert line.begun.acquire(timeout=20) and line.order[1:] == [second]
