"""The check over gRPC, with a real collector behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.common.database import Database, database_url
from services.common.errors import InvalidInput
from services.common.i18n import CATALOGUE
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.trainer.datasets import Datasets
from services.trainer.models import Job, JobEpoch
from services.trainer.parameters import resolved
from services.trainer.preflight.check import Preflight
from services.trainer.preflight.look import Looks
from services.trainer.preflight.speed import Speed, speed
from services.trainer.settings import TrainerSettings
from services.trainer.store import JobStore
from tests.trainer.conftest import jpeg
from tests.trainer.world import World, pb


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(Path(tmp_path_factory.mktemp("preflight")))
    yield world
    world.close()


def version(world: World, labels: list[str], first: int) -> str:
    """Of new pictures with these labels."""
    for index, label in enumerate(labels):
        picture = jpeg("ring" if index % 2 else "bars", first + index)
        world.captures.UploadCapture(c.UploadCaptureRequest(project_id=world.project_id, label=label, jpeg=picture))
    return str(world.datasets.CreateVersion(
        c.CreateVersionRequest(project_id=world.project_id, seed=1, validation_share=0.3)
    ).version.id)  # fmt: skip


def check(world: World, version_id: str, **parameters: Any) -> pb.CheckTrainingResponse:
    return world.training.CheckTraining(
        pb.CheckTrainingRequest(
            project_id=world.project_id, version_id=version_id, parameters=pb.TrainingParameters(**parameters)
        )
    )


def test_a_check_before_the_start(world: World) -> None:
    marks = version(world, ["ring"] * 6 + ["bars"] * 30 + [""] * 2, 0)
    answer = check(world, marks, backbone="tiny_cnn", target="web-onnx", epochs=3)
    codes = {one.code: one for one in answer.problems}
    assert {"few_pictures", "imbalance", "from_scratch", "unlabelled"} <= set(codes)
    assert codes["unlabelled"].facts["count"] == "2"
    assert not any(one.severity == pb.SEVERITY_ERROR for one in answer.problems)
    assert answer.pictures == answer.examined == 36 == sum(one.train + one.validation for one in answer.labels)
    assert answer.seconds > 0 and answer.images_per_second > 0 and not answer.measured_in_job
    assert answer.network.file_bytes and answer.disk_free_bytes > answer.disk_needed_bytes > 0


def test_pictures_that_will_be_left_out_are_not_counted(world: World) -> None:
    marks = version(world, ["ring"] * 6 + ["bars"] * 6, 700)
    whole = jpeg("bars", 700)
    files = (path for path in (world.folder / "objects").rglob("*") if path.is_file())
    path = next(path for path in files if path.read_bytes() == whole)
    path.write_bytes(whole[:500])
    try:
        answer = check(world, marks, backbone="tiny_cnn", target="web-onnx", skip_unreadable=True)
    finally:
        path.write_bytes(whole)
    assert "left_out" in {one.code for one in answer.problems}
    assert sum(one.train + one.validation for one in answer.labels) == answer.pictures - 1 == answer.examined - 1


def test_the_speed_of_a_training_is_that_of_an_earlier_one_with_its_head() -> None:
    common = {"backbone": "mobilenet_v1_0.25", "input_size": 96, "input_height": 96, "batch_size": 8}
    asked = pb.TrainingParameters(**common, head="anchor_free")
    other, same = (Job(parameters={**common, "head": head}) for head in ("yolo2", "anchor_free"))
    for job, rate in ((other, 40.0), (same, 50.0)):
        job.epochs = [JobEpoch(images_per_second=rate)]
    assert speed(asked, [other, same]) == Speed(50.0, in_job=True)
    measured = speed(asked, [other])
    assert measured.images_per_second > 0 and not measured.in_job


def test_an_error_of_the_check_is_what_the_start_refuses(world: World) -> None:
    marks = version(world, ["ring"] * 2 + ["bars"] * 2, 200)
    found = check(world, marks, input_size=96).problems[0]
    assert (found.severity, found.code) == (pb.SEVERITY_ERROR, "network")
    start = pb.StartJobRequest(project_id=world.project_id, version_id=marks)
    start.parameters.input_size = 96
    with pytest.raises(InvalidInput, match="4x4"):
        world.training.StartJob(start)


def test_a_start_refuses_pictures_that_a_check_found_broken(tmp_path: Path) -> None:
    data = c.DatasetVersion(id="v", labels=["a", "b"], train_count=1, validation_count=1)
    looks, cut = Looks(), jpeg("ring", 1)[:700]
    looks.look("v", [c.StreamVersionResponse(capture_id="1" * 32, label="a", split=c.SPLIT_TRAIN, jpeg=cut)])
    settings = TrainerSettings(data_dir=tmp_path)
    database = Database(database_url(settings, "trainer"), "trainer")
    datasets = Datasets(grpc.insecure_channel("127.0.0.1:9"), 1, 1)
    asked = resolved(pb.TrainingParameters(), settings)
    with pytest.raises(InvalidInput, match="1 pictures cannot be read"):
        Preflight(settings, datasets, JobStore(database), looks).refuse_errors(asked, data)
    database.close()


def test_every_parameter_is_explained(world: World) -> None:
    answer = check(world, version(world, ["ring", "bars"], 500), backbone="tiny_cnn")
    assert {one.name for one in answer.notes} == {field.name for field in pb.TrainingParameters.DESCRIPTOR.fields}
    assert [one.name for one in answer.notes if not one.sentence] == []


def test_every_problem_has_its_sentences_in_both_languages() -> None:
    source = "".join(path.read_text() for path in Path("services/trainer/preflight").glob("*.py"))
    keys = [key for key in CATALOGUE if key.startswith("preflight.") and ".ui." not in key]
    codes = {key.split(".")[1].removesuffix("_fix") for key in keys}
    assert codes and all(f'"{code}"' in source and f"preflight.{code}_fix" in CATALOGUE for code in codes)
