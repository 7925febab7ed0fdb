from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import alembic.config
import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from services.common.database import Database
from services.common.errors import NotFound
from services.common.objects import DirectoryStore
from services.trainer.models import Base, Job, Model, ModelFile
from services.trainer.registry import BLOCK_BYTES, Golden, Registry
from services.trainer.service import MIGRATIONS
from services.trainer.store import JobStore

EVALUATION = {"labels": ["a", "b"], "accuracy": 1.0, "confusion": [[1, 0], [0, 1]], "classes": [], "predictions": []}
GOLDEN = Golden(np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2), np.array([[0.5, -1], [2, 3]], np.float32))


class Rooms:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.jobs = JobStore(database)
        self.objects = DirectoryStore(folder)
        self.registry = Registry(database, self.objects)

    def job(self) -> Job:
        return self.jobs.create("project", "version", {"epochs": 1})

    def model(self, job: Job, checkpoint: bytes = b"weights") -> Model:
        return self.registry.add_model(
            job,
            "net",
            checkpoint,
            labels=["a", "b"],
            backbone="mobilenet_v1_0.5",
            input_size=128,
            evaluation=EVALUATION,
            parameters={},
            weights_source="none",
        )

    def file(self, model_id: str, data: bytes, target: str = "chip") -> ModelFile:
        file = ModelFile(
            target=target,
            format="f",
            file_name="net.bin",
            size_bytes=len(data),
            sha256="0" * 64,
            evaluation=EVALUATION,
            agreement=1.0,
            ram_bytes=9,
            report={},
        )
        return self.registry.add_file(model_id, file, data, GOLDEN)


@pytest.fixture
def rooms(any_database_url: str, tmp_path: Path) -> Iterator[Rooms]:
    database = Database(any_database_url, "trainer")
    database.migrate(MIGRATIONS)
    yield Rooms(database, tmp_path / "objects")
    database.close()


def test_files_come_back_in_blocks(rooms: Rooms) -> None:
    model = rooms.model(rooms.job())
    data = np.random.default_rng(0).bytes(2 * BLOCK_BYTES + 5)
    rooms.file(model.id, data)
    blocks = list(rooms.registry.blocks(model.id, "chip"))
    assert [len(block) for _, _, block in blocks] == [BLOCK_BYTES, BLOCK_BYTES, 5]
    assert b"".join(block for _, _, block in blocks) == data
    assert {(name, size) for name, size, _ in blocks} == {("net.bin", len(data))}
    assert list(rooms.registry.blocks(model.id, "")) == [("net.pt", 7, b"weights")]


def test_golden_inputs_and_outputs_survive(rooms: Rooms) -> None:
    model = rooms.model(rooms.job())
    rooms.file(model.id, b"file")
    golden = rooms.registry.golden(model.id, "chip")
    assert np.array_equal(golden.inputs, GOLDEN.inputs) and np.array_equal(golden.outputs, GOLDEN.outputs)


def test_a_second_conversion_replaces_the_first(rooms: Rooms) -> None:
    model = rooms.model(rooms.job())
    rooms.file(model.id, b"one")
    rooms.file(model.id, b"two!")
    rooms.file(model.id, b"other", target="other")
    assert [(f.target, f.size_bytes) for f in rooms.registry.get(model.id).files] == [("chip", 4), ("other", 5)]
    assert rooms.registry.read(model.id, "chip") == b"two!"


def test_a_resumed_job_replaces_its_own_model(rooms: Rooms) -> None:
    job = rooms.job()
    first = rooms.model(job)
    rooms.jobs.change(job.id, model_id=first.id)
    again = rooms.model(rooms.jobs.get(job.id), b"better")
    assert again.id == first.id and rooms.registry.read(first.id, "") == b"better"
    assert [model.id for model in rooms.registry.of_project("project")] == [first.id]


def test_models_come_newest_first(rooms: Rooms) -> None:
    first, second = rooms.model(rooms.job()), rooms.model(rooms.job())
    assert [model.id for model in rooms.registry.of_project("project")] == [second.id, first.id]
    assert rooms.registry.of_project("elsewhere") == []


def test_figures_of_a_file_survive_and_files_of_before_have_none(rooms: Rooms) -> None:
    model = rooms.model(rooms.job())
    rooms.file(model.id, b"old")
    assert rooms.registry.file(model.id, "chip").fidelity == {}
    with rooms.database.session() as session:
        session.merge(ModelFile(model_id=model.id, target="chip", fidelity={"agreement": 0.5}))
    assert rooms.registry.file(model.id, "chip").fidelity == {"agreement": 0.5}


def downgrade(database: Database, revision: str) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, revision)


def test_a_database_of_the_version_before_keeps_its_files(any_database_url: str) -> None:
    database = Database(any_database_url, "trainer")
    database.migrate(MIGRATIONS)
    downgrade(database, "0001")
    with database.session() as session:
        now = {"now": datetime.now(UTC)}
        job = "'j', 'p', 'v', '{}', 'DONE', false, 1, 0, '', 'm', :now, :now"
        session.execute(text(f"INSERT INTO jobs VALUES ({job})"), now)
        model = "'m', 'p', 'j', 'v', 'net', '[]', 'b', 128, '{}', '{}', '', 'key', :now"
        session.execute(text(f"INSERT INTO models VALUES ({model})"), now)
        session.execute(
            text("INSERT INTO model_files VALUES ('m', 'chip', 'f', 'a', 1, 's', '{}', 1, 9, '{}', 'k', 'g')")
        )
    database.migrate(MIGRATIONS)
    with database.session(read_only=True) as session:
        file = session.get(ModelFile, ("m", "chip"))
        assert file is not None and file.fidelity == {}
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_a_target_that_was_not_converted_is_told(rooms: Rooms) -> None:
    model = rooms.model(rooms.job())
    with pytest.raises(NotFound, match="k210"):
        rooms.registry.read(model.id, "k210")
