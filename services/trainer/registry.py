"""The model registry: what was trained from what, how good it is, and its files.

object store   models/<model id>/checkpoint.pt
               models/<model id>/<target>/<file>      the converted file
               models/<model id>/<target>/golden.npz  inputs (n, 3, h, w) uint8, outputs (n, classes) float32
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from services.common.database import Database
from services.common.errors import NotFound
from services.common.objects import ObjectStore
from services.common.version import code_version
from services.trainer.models import Job, Model, ModelFile

__all__ = ["BLOCK_BYTES", "ConversionResult", "Golden", "Registry"]

BLOCK_BYTES = 1024 * 1024
CHECKPOINT_NAME = "checkpoint.pt"


@dataclass(frozen=True, eq=False)
class Golden:
    """Validation inputs (n, 3, h, w) uint8 and what the chip's simulator answered, (n, classes) float32."""

    inputs: npt.NDArray[np.uint8]
    outputs: npt.NDArray[np.float32]

    def pack(self) -> bytes:
        out = io.BytesIO()
        np.savez_compressed(out, inputs=self.inputs, outputs=self.outputs)
        return out.getvalue()

    @classmethod
    def parse(cls, data: bytes) -> Golden:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(arrays["inputs"], arrays["outputs"])


@dataclass(frozen=True)
class ConversionResult:
    """A converted file and its measure, as services.trainer.conversion leaves them in result.json beside the file."""

    target: str
    format: str
    file_name: str
    size_bytes: int
    sha256: str
    agreement: float  # share of validation pictures to which the float model gives the same label
    ram_bytes: int  # largest estimate over the board's firmwares
    evaluation: dict[str, Any]  # Evaluation.to_dict()
    report: dict[str, Any]  # ConversionReport.to_json()
    fidelity: dict[str, Any]  # Fidelity.to_json()


class Registry:
    """Files go into the object store before the row that names them; so a row's file is always there."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def add_model(self, job: Job, name: str, checkpoint: bytes, **columns: Any) -> Model:
        """Register what `job` trained; a job that is resumed after it had registered replaces its own model.

        `columns`: labels, backbone, input_size, evaluation, parameters, weights_source of the table.
        """
        model_id = job.model_id or secrets.token_hex(6)
        key = f"models/{model_id}/{CHECKPOINT_NAME}"
        self._objects.put(key, checkpoint)
        model = Model(
            id=model_id,
            project_id=job.project_id,
            job_id=job.id,
            version_id=job.version_id,
            name=name,
            checkpoint_key=key,
            code_version=code_version(),
            created_at=datetime.now(UTC),
            **columns,
        )
        with self._database.session() as session:
            session.merge(model)
        return self.get(model_id)

    def add_file(self, model_id: str, file: ModelFile, data: bytes, golden: Golden) -> ModelFile:
        """Store a converted file; one of the same target is replaced. Fills in the keys of `file`."""
        folder = f"models/{model_id}/{file.target}"
        file.model_id = model_id
        file.object_key = f"{folder}/{file.file_name}"
        file.golden_key = f"{folder}/golden.npz"
        self._objects.put(file.golden_key, golden.pack())
        self._objects.put(file.object_key, data)
        with self._database.session() as session:
            session.merge(file)
        return self.file(model_id, file.target)

    def get(self, model_id: str) -> Model:
        """The model with its files; NotFound."""
        with self._database.session(read_only=True) as session:
            model = session.get(Model, model_id)
            if model is None:
                raise NotFound("MODEL_NOT_FOUND", f"There is no model {model_id!r}.")
            return model

    def of_project(self, project_id: str) -> list[Model]:
        """Newest first, with their files."""
        query = select(Model).where(Model.project_id == project_id).order_by(Model.created_at.desc(), Model.id)
        with self._database.session(read_only=True) as session:
            return list(session.scalars(query))

    def file(self, model_id: str, target: str) -> ModelFile:
        """NotFound when the model has not been converted for `target`."""
        for file in self.get(model_id).files:
            if file.target == target:
                return file
        raise NotFound(
            "FILE_NOT_FOUND",
            f"Model {model_id} has no file for the target {target!r}.",
            fix="Convert the model for that target first.",
        )

    def read(self, model_id: str, target: str) -> bytes:
        """The converted file, or the checkpoint when `target` is ""."""
        return self._objects.get(self._key(model_id, target)[0])

    def blocks(self, model_id: str, target: str) -> Iterator[tuple[str, int, bytes]]:
        """(file name, size in bytes, data) with at most 1 MiB of data each; `target` "" = the checkpoint."""
        key, name = self._key(model_id, target)
        size = self._objects.size(key)
        for offset in range(0, size, BLOCK_BYTES):
            yield name, size, self._objects.read(key, offset, BLOCK_BYTES)

    def golden(self, model_id: str, target: str) -> Golden:
        return Golden.parse(self._objects.get(self.file(model_id, target).golden_key))

    def _key(self, model_id: str, target: str) -> tuple[str, str]:
        if target:
            file = self.file(model_id, target)
            return file.object_key, file.file_name
        model = self.get(model_id)
        return model.checkpoint_key, f"{model.name}.pt"
