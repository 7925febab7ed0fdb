from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.database import Database
from services.common.errors import FailedPrecondition, NotFound
from services.common.objects import DirectoryStore
from services.trainer.evaluation.lineage import lineage, started_from
from services.trainer.evaluation.store import EvaluationStore
from services.trainer.evaluation.summary import Summary, summarise
from services.trainer.registry import Registry
from services.trainer.service import MIGRATIONS
from services.trainer.store import JobStore
from tests.trainer.evaluation.made import random_scenes


class Rooms:
    def __init__(self, database: Database, folder: Path) -> None:
        objects = DirectoryStore(folder)
        self.jobs, self.registry = JobStore(database), Registry(database, objects)
        self.evaluations = EvaluationStore(database, objects)

    def model(self, name: str, weights: str) -> str:
        job = self.jobs.create("project", f"version-{name}"[:12], {"weights": weights})
        columns = {"labels": ["a", "b"], "backbone": "tiny_cnn", "input_size": 96, "evaluation": {}, "parameters": {}}
        return self.registry.add_model(job, name, b"checkpoint", weights_source="from somewhere", **columns).id


@pytest.fixture
def rooms(any_database_url: str, tmp_path: Path) -> Iterator[Rooms]:
    database = Database(any_database_url, "trainer")
    database.migrate(MIGRATIONS)
    yield Rooms(database, tmp_path)
    database.close()


def test_an_evaluation_keeps_its_log_figures_and_answers(rooms: Rooms) -> None:
    run = rooms.evaluations.create("project", rooms.model("one", "none"), "version", "web-onnx", "all", 0.25)
    answers = random_scenes(5, 2)
    assert rooms.evaluations.change(run.id, line="Fetching.", state="FETCHING", progress=0.1)
    assert not rooms.evaluations.change(run.id, only_in=("QUEUED",), state="STOPPED")
    with pytest.raises(FailedPrecondition, match="FETCHING"):
        rooms.evaluations.answers(run.id)
    rooms.evaluations.keep(run.id, answers.pack(), summarise(answers).to_dict(), "Done.")
    kept = rooms.evaluations.get(run.id)
    assert (kept.state, kept.log, kept.confidence, kept.progress) == ("DONE", ["Fetching.", "Done."], 0.25, 1)
    assert Summary.from_dict(kept.summary).images == 5
    assert len(rooms.evaluations.answers(run.id).pictures) == 5


def test_evaluations_are_found_by_project_and_model_and_state(rooms: Rooms) -> None:
    one, other = rooms.model("one", "none"), rooms.model("other", "none")
    first = rooms.evaluations.create("project", one, "version", "", "all", 0)
    second = rooms.evaluations.create("project", other, "version", "", "all", 0)
    assert [run.id for run in rooms.evaluations.find("project")] == [second.id, first.id]
    assert [run.id for run in rooms.evaluations.find(model_id=one)] == [first.id]
    assert rooms.evaluations.in_states("QUEUED") == [first.id, second.id]
    with pytest.raises(NotFound, match="nowhere"):
        rooms.evaluations.get("nowhere")


def test_a_lineage_goes_back_through_all_generations(rooms: Rooms) -> None:
    first = rooms.model("first", "imagenet")
    second = rooms.model("second", f"model:{first}")
    third = rooms.model("third", f"model:{second}")
    generations = lineage(rooms.registry, rooms.jobs, third)
    assert [model.id for model in generations] == [third, second, first]
    assert [started_from(rooms.jobs, model) for model in generations] == [
        f"model:{second}",
        f"model:{first}",
        "imagenet",
    ]
    assert all(model.code_version for model in generations)
