"""From the registry to a package, through the gRPC method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.common.database import Database
from services.common.errors import InvalidInput, NotFound
from services.common.objects import DirectoryStore
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer.models import ModelFile
from services.trainer.packages import PackageContent
from services.trainer.packages.stored import stored_content
from services.trainer.registry import Golden, Registry
from services.trainer.server import ModelService
from services.trainer.service import MIGRATIONS
from services.trainer.store import JobStore
from tests.trainer.packages.conftest import FIDELITY, LABELS, unpack

EVALUATION = {"labels": ["a"], "accuracy": 1.0, "confusion": [[1]], "classes": [], "predictions": []}
TARGET = "k210-kmodel-v3"


@pytest.fixture
def stored(tmp_path: Path, content: Callable[..., PackageContent]) -> Iterator[tuple[Registry, str]]:
    """A registry with one model, and its id."""
    database = Database(f"sqlite:///{tmp_path}/trainer.db", "trainer")
    database.migrate(MIGRATIONS)
    registry, pack = Registry(database, DirectoryStore(tmp_path / "objects")), content()
    job = JobStore(database).create("project", "version", {"epochs": 1})
    model = registry.add_model(
        job, "net", b"weights", labels=list(LABELS), backbone="mobilenet_v1_0.5", input_size=32,
        evaluation=EVALUATION, parameters={}, weights_source="none",
    )  # fmt: skip
    file = ModelFile(
        target=TARGET, format="kmodel_v3", file_name="net.kmodel", size_bytes=len(pack.data), sha256="0" * 64,
        evaluation=EVALUATION, agreement=1.0, ram_bytes=9, report=pack.report, fidelity=FIDELITY,
    )  # fmt: skip
    registry.add_file(model.id, file, pack.data, Golden(np.zeros((1, 3, 2, 2), np.uint8), np.zeros((1, 4), np.float32)))
    yield registry, model.id
    database.close()


def downloaded(registry: Registry, **request: Any) -> tuple[str, bytes]:
    rooms: Any = SimpleNamespace(registry=registry)
    answers = list(ModelService(rooms).DownloadModel(pb.DownloadModelRequest(**request), None))  # type: ignore[arg-type]
    data = b"".join(answer.data for answer in answers)
    assert answers[0].size_bytes == len(data)
    return answers[0].file_name, data


def test_a_stored_file_is_packed_when_it_is_downloaded(stored: tuple[Registry, str]) -> None:
    registry, model_id = stored
    name, data = downloaded(registry, model_id=model_id, target=TARGET, package="k210-zip")
    files = unpack(data)
    assert name == f"model-{model_id}-k210.zip"
    assert files[f"model-{model_id}.kmodel"] == registry.read(model_id, TARGET)
    assert b'LABELS = ["disc", "square", "\xe4\xb8\x89\xe8\xa7\x92"' in files["main.py"]


def test_the_flash_address_is_taken(stored: tuple[Registry, str]) -> None:
    registry, model_id = stored
    request = {"model_id": model_id, "target": TARGET, "package": "kfpkg"}
    assert b'"address": 3145728,' in unpack(downloaded(registry, **request)[1])["flash-list.json"]
    moved = downloaded(registry, **request, flash_address=0x400000)[1]
    assert b'"address": 4194304,' in unpack(moved)["flash-list.json"]


def test_without_a_package_the_file_itself_comes(stored: tuple[Registry, str]) -> None:
    registry, model_id = stored
    assert downloaded(registry, model_id=model_id, target=TARGET) == ("net.kmodel", registry.read(model_id, TARGET))


def test_the_checkpoint_and_unknown_files_come_in_no_package(stored: tuple[Registry, str]) -> None:
    registry, model_id = stored
    with pytest.raises(InvalidInput, match="checkpoint"):
        stored_content(registry, model_id, "")
    with pytest.raises(NotFound, match="web-onnx"):
        stored_content(registry, model_id, "web-onnx")
