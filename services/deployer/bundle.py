"""A release's bundle: manifest, signature, payload (docs/protocol.md section 7).

payload = AES-256-CBC(content key, manifest's IV, model || golden inputs)      one ciphertext for the whole fleet
manifest holds SHA-256 of payload, model and golden inputs; the signature covers the manifest's exact bytes
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from dataclasses import dataclass, field
from datetime import datetime

import grpc
import numpy as np

from services.common import cipher
from services.common.boards import BOARD_FORMATS, goes_to_boards
from services.common.errors import FailedPrecondition, InvalidInput, NotFound, UnsupportedModel
from services.common.frames import Part
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as grpc_pb

__all__ = ["MANIFEST_MAX", "Bundle", "Ingredients", "TrainerModels", "build", "part_key"]

MANIFEST_MAX = 16 * 1024
TOLERANCE = 0.001  # absolute, of an output: boards compute the same integers and lose bits in 32-bit floats only
V831_TOLERANCE = 4 / 127  # of the largest output: four steps of int8. The NPU's own rounding was never seen.


def part_key(release_id: str, part: Part) -> str:
    """Where the object store keeps it."""
    return f"releases/{release_id}/{part.name.lower()}"


@dataclass(frozen=True)
class Ingredients:
    """What the trainer gives for one model and target. `inputs`: u8 planar CHW RGB; `outputs`: one per input."""

    model_name: str
    board_type: str
    format: str
    labels: list[str]
    model: bytes = field(repr=False)
    width: int
    height: int
    channels: int
    inputs: list[bytes] = field(repr=False)
    outputs: list[list[float]]


@dataclass(frozen=True)
class Bundle:
    """Unsigned."""

    manifest: bytes
    payload: bytes = field(repr=False)


def build(
    made_of: Ingredients, release_id: str, name: str, counter: int, expires_at: datetime | None, content_key: bytes
) -> Bundle:
    """InvalidInput (MANIFEST_TOO_LARGE) over 16 KiB."""
    iv = secrets.token_bytes(16)
    golden = b"".join(made_of.inputs)
    payload = cipher.encrypt(content_key, iv, made_of.model + golden)
    manifest = {
        "release": release_id,
        "name": name,
        "board_type": made_of.board_type,
        "format": made_of.format,
        "counter": counter,
        "expires": int(expires_at.timestamp()) if expires_at else 0,
        "labels": made_of.labels,
        "head": "classifier",
        "anchors": [],
        "input": {"width": made_of.width, "height": made_of.height, "channels": made_of.channels},
        "payload": {**_measure(payload), "iv": iv.hex()},
        "model": _measure(made_of.model),
        "golden": {
            **_measure(golden),
            "count": len(made_of.inputs),
            "outputs": made_of.outputs,
            "tolerance": _tolerance(made_of),
        },
    }
    encoded = json.dumps(manifest, ensure_ascii=False).encode()
    if len(encoded) > MANIFEST_MAX:
        message = (
            f"The manifest has {len(encoded)} bytes with {len(made_of.labels)} labels; boards read {MANIFEST_MAX}."
        )
        raise InvalidInput("MANIFEST_TOO_LARGE", message, fix="Use fewer or shorter labels.")
    return Bundle(encoded, payload)


def _tolerance(made_of: Ingredients) -> float:
    """How far a board's golden output may be from the simulator's, absolute."""
    if made_of.board_type != "v831":
        return TOLERANCE
    largest = max((abs(value) for output in made_of.outputs for value in output), default=0.0)
    return max(round(largest * V831_TOLERANCE, 6), TOLERANCE)


def _measure(data: bytes) -> dict[str, object]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class TrainerModels:
    """Models of the trainer, over gRPC."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = grpc_pb.ModelServiceStub(channel)

    def gather(self, project_id: str, model_id: str, target: str) -> Ingredients:
        """NotFound: model or target. InvalidInput (NOT_FOR_BOARDS): no board loads the target's files.

        UnsupportedModel: a detector. FailedPrecondition (MODEL_NOT_CONVERTED). Unavailable: the trainer.
        """
        model = self._stub.GetModel(pb.GetModelRequest(model_id=model_id)).model
        if model.project_id != project_id:
            message = f"Model {model_id!r} belongs to project {model.project_id!r}, not to {project_id!r}."
            raise InvalidInput("MODEL_OF_OTHER_PROJECT", message, fix="Release a model of this project.")
        if model.task == "detection":
            message = f"Model {model_id!r} is a detector, and the boards' program classifies only."
            fix = "Download it on the Models page, as a package for the board."
            raise UnsupportedModel("DETECTOR_NOT_RELEASABLE", message, fix=fix)
        targets = {one.id: one for one in self._stub.ListTargets(pb.ListTargetsRequest()).targets}
        if target not in targets:
            message = f"There is no target {target!r}; there are {', '.join(sorted(targets))}."
            raise NotFound("UNKNOWN_TARGET", message, fix="Choose one of them.")
        _check_for_boards(targets[target])
        if target not in {file.target for file in model.files}:
            message = f"Model {model_id!r} has no file for {target}."
            raise FailedPrecondition("MODEL_NOT_CONVERTED", message, fix=f"Convert it to {target} first.")
        request = pb.DownloadModelRequest(model_id=model_id, target=target)
        data = b"".join(block.data for block in self._stub.DownloadModel(request))
        golden = self._stub.GetGolden(pb.GetGoldenRequest(model_id=model_id, target=target))
        made_of = Ingredients(
            model_name=model.name,
            board_type=targets[target].board_type,
            format=targets[target].format,
            labels=list(model.labels),
            model=data,
            width=golden.width,
            height=golden.height,
            channels=golden.channels,
            inputs=[case.input_u8_chw for case in golden.cases],
            outputs=[[_short(value) for value in case.output] for case in golden.cases],
        )
        _check(made_of, model_id, next(file for file in model.files if file.target == target))
        return made_of


def _check_for_boards(target: pb.Target) -> None:
    if goes_to_boards(target.board_type, target.format):
        return
    takes = BOARD_FORMATS.get(target.board_type)
    boards = f"{target.board_type} boards load {takes}" if takes else "no board of a fleet loads such files"
    message = f"Files for {target.id} are {target.format}; {boards}."
    fix = "Download the file on the Models page, or release one for another target."
    raise InvalidInput("NOT_FOR_BOARDS", message, fix=fix)


def _short(value: float) -> float:
    """The shortest decimal that is the same 32-bit float."""
    return float(str(np.float32(value)))


def _check(made_of: Ingredients, model_id: str, file: pb.ConvertedFile) -> None:
    """What the boards will check, before a whole fleet downloads it for nothing."""
    frame = made_of.width * made_of.height * made_of.channels
    numbers = [value for output in made_of.outputs for value in output]
    faults = {
        "its file is empty": not made_of.model,
        "its file changed on the way": hashlib.sha256(made_of.model).hexdigest() != file.sha256,
        "it has no golden cases": not made_of.inputs,
        f"a golden input has not {frame} bytes": any(len(one) != frame for one in made_of.inputs),
        "a golden output has not one value per label": any(len(one) != len(made_of.labels) for one in made_of.outputs),
        "a golden output is not finite": not all(math.isfinite(value) for value in numbers),
    }
    for what, wrong in faults.items():
        if wrong:
            message = f"Model {model_id!r} for {file.target} cannot be released: {what}."
            raise UnsupportedModel("MODEL_NOT_RELEASABLE", message, fix="Convert it again.")
