"""Conversions of registered models over gRPC: other targets, their figures, and what is refused."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from services.common.errors import InvalidInput, NotFound, UnsupportedModel
from services.common.fidelity import Fidelity
from services.trainer import pipeline
from services.trainer.convert import simulator
from tests.trainer.conftest import jpeg
from tests.trainer.test_service import SMALL, TARGET
from tests.trainer.world import World, pb


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


@pytest.fixture(scope="module")
def model(world: World) -> str:
    job = world.wait(world.start_job(**SMALL))
    assert job.state == pb.JOB_STATE_DONE, job.error
    return job.model_id


def convert(world: World, model: str, target: str, **more: object) -> pb.ConvertedFile:
    request = pb.ConvertModelRequest(model_id=model, target=target, **more)  # type: ignore[arg-type]
    return world.models.ConvertModel(request).file


def test_a_job_registers_its_files_fidelity(world: World, model: str) -> None:
    file = world.models.GetModel(pb.GetModelRequest(model_id=model)).model.files[0]
    fidelity = Fidelity.from_json(json.loads(file.fidelity_json))
    assert (fidelity.target, fidelity.images) == (TARGET, file.evaluation.images)
    assert fidelity.scores[0].converted == file.evaluation.accuracy and fidelity.agreement == file.agreement
    assert fidelity.max_accuracy_drop == 0.03 and fidelity.output_snr_db > 10
    measured = [layer.snr_db for layer in fidelity.layers if layer.snr_db is not None]
    assert len(measured) > 20 and all(map(math.isfinite, measured)) and fidelity.weakest_layer
    assert sum(fidelity.confidence.counts) == fidelity.images == sum(one.support for one in fidelity.classes)


@pytest.mark.parametrize("target", ["web-onnx", "mcu-tinymaix-int8"])
def test_a_model_is_converted_measured_and_used_for_another_target(world: World, model: str, target: str) -> None:
    file = convert(world, model, target, max_accuracy_drop=1.0)
    data = world.download(model, target)
    assert hashlib.sha256(data).hexdigest() == file.sha256 and file.format
    assert Fidelity.from_json(json.loads(file.fidelity_json)).images == file.evaluation.images
    chip = simulator(target, data)
    golden = world.models.GetGolden(pb.GetGoldenRequest(model_id=model, target=target))
    pixels = np.frombuffer(golden.cases[0].input_u8_chw, np.uint8).reshape(1, 3, 128, 128)
    assert chip.run(pixels)[0].tolist() == pytest.approx(list(golden.cases[0].output), abs=1e-5)
    request = pb.PredictRequest(model_id=model, target=target, jpeg=jpeg("bars", 999))
    assert sum(world.models.Predict(request).scores) == pytest.approx(1)
    targets = [one.target for one in world.models.GetModel(pb.GetModelRequest(model_id=model)).model.files]
    assert target in targets and TARGET in targets
    assert not [child for child in psutil.Process().children(recursive=True) if "conversion" in str(child.cmdline())]


def test_what_cannot_be_converted_is_refused_at_once(world: World, model: str) -> None:
    with pytest.raises(InvalidInput, match="k210-kmodel-v3"):
        convert(world, model, "../../etc")
    with pytest.raises(NotFound):
        convert(world, "0" * 12, TARGET)
    for wish in ({"max_accuracy_drop": 1.1}, {"max_accuracy_drop": math.nan}, {"weight_range": "all"}):
        with pytest.raises(InvalidInput, match=next(iter(wish))):
            convert(world, model, TARGET, **wish)


def test_every_target_is_described(world: World) -> None:
    targets = world.models.ListTargets(pb.ListTargetsRequest()).targets
    assert all(target.title and target.description for target in targets)


def test_a_conversion_that_costs_too_much_keeps_the_file_of_before(
    world: World, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.download(model, TARGET)
    monkeypatch.setattr(pipeline, "CONVERSION", "tests.trainer.costly_conversion")
    with pytest.raises(UnsupportedModel, match="conv3_dw") as told:
        convert(world, model, TARGET)
    assert told.value.reason == "ACCURACY_DROP" and told.value.metadata == {"layer": "conv3_dw"}
    assert world.download(model, TARGET) == before and not list((world.folder / "jobs").iterdir())


def test_a_job_whose_conversion_costs_too_much_fails_with_its_float_model_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CONVERSION", "tests.trainer.costly_conversion")
    world = World(tmp_path)
    try:
        job = world.wait(world.start_job(**SMALL, max_accuracy_drop=0.5))
        assert job.state == pb.JOB_STATE_FAILED and "conv3_dw" in job.error and "Allow more." in job.error
        model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
        assert model.evaluation.images and not model.files and job.parameters.max_accuracy_drop == 0.5
        monkeypatch.undo()
        world.training.ResumeJob(pb.ResumeJobRequest(job_id=job.id))
        assert world.wait(job).state == pb.JOB_STATE_DONE
    finally:
        world.close()
