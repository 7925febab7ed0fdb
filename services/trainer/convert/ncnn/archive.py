"""An ncnn model as one file: a zip whose members are stored as they are, in this order.

    model.ncnn.param   the network, text
    model.ncnn.bin     its weights
    model.json         input, normalisation, labels, anchors: what the program around ncnn needs

The same model gives the same bytes: every member has the date 1980-01-01.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from dataclasses import asdict, dataclass
from typing import Any, get_args

from services.common.errors import UnsupportedModel
from services.trainer.graph import Head

__all__ = ["BIN", "JSON", "PARAM", "Archive", "Description", "unpack"]

PARAM, BIN, JSON = MEMBERS = ("model.ncnn.param", "model.ncnn.bin", "model.json")
MAX_BYTES = 256 << 20
MAX_JSON = 1 << 20
MAX_SIDE = 4096
FORMAT = 1
_DATE = (1980, 1, 1, 0, 0, 0)
_UNZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, struct.error)


@dataclass(frozen=True)
class Description:
    """model.json. Pixels are RGB, 0 to 255; ncnn's `substract_mean_normalize(mean, norm)` is (pixel - mean)*norm."""

    name: str
    weights: str  # "fp16" or "int8"
    input: str
    shape: tuple[int, int, int]  # c, h, w
    mean: tuple[float, ...]
    norm: tuple[float, ...]
    output: str
    labels: tuple[str, ...]
    anchors: tuple[tuple[float, float], ...]
    head: Head = ""

    def to_json(self) -> bytes:
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Description:
        """Raises UnsupportedModel for anything `to_json` does not write."""
        try:
            return cls._parsed(json.loads(data.decode()))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as problem:
            raise _malformed(f"{JSON} cannot be read ({type(problem).__name__}: {problem})"[:300]) from problem

    @classmethod
    def _parsed(cls, fields: dict[str, Any]) -> Description:
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']!r}, not {FORMAT}")
        texts = [fields[key] for key in ("name", "weights", "input", "output")]
        labels = tuple(fields["labels"])
        if not all(isinstance(text, str) for text in (*texts, *labels)):
            raise ValueError("a name or a label is no text")
        shape = tuple(fields["shape"])
        if len(shape) != 3 or not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in shape):
            raise ValueError(f"shape {shape[:4]}")
        mean, norm = (tuple(float(v) for v in fields[key]) for key in ("mean", "norm"))
        anchors = tuple((float(width), float(height)) for width, height in fields["anchors"])
        if len(mean) != shape[0] or len(norm) != shape[0] or not all(map(math.isfinite, (*mean, *norm))):
            raise ValueError("mean and norm need one finite number a channel")
        head = fields.get("head", "")
        if head not in get_args(Head):
            raise ValueError(f"head {head!r}")
        name, weights, first, last = texts
        return cls(name, weights, first, shape, mean, norm, last, labels, anchors, head)


@dataclass(frozen=True)
class Archive:
    """The three members."""

    param: bytes
    weights: bytes
    description: Description

    def pack(self) -> bytes:
        return _zipped({PARAM: self.param, BIN: self.weights, JSON: self.description.to_json()})

    @classmethod
    def read(cls, data: bytes) -> Archive:
        """Raises UnsupportedModel for a file that `pack` does not write."""
        members = unpack(data)
        return cls(members[PARAM], members[BIN], Description.from_json(members[JSON]))


def unpack(data: bytes) -> dict[str, bytes]:
    """The members by name. Nothing is decompressed: they must be stored, and no larger than the file."""
    if len(data) > MAX_BYTES:
        raise _malformed(f"{len(data)} bytes, more than {MAX_BYTES}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if tuple(entry.filename for entry in entries) != MEMBERS:
                found = ", ".join(entry.filename for entry in entries[:5])[:200]
                raise _malformed(f"it holds {found or 'nothing'}, not {', '.join(MEMBERS)}")
            for entry in entries:
                stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
                if not stored or entry.file_size > (MAX_JSON if entry.filename == JSON else len(data)):
                    raise _malformed(f"{entry.filename} is compressed, or larger than it may be")
            return {entry.filename: archive.read(entry) for entry in entries}
    except _UNZIP_ERRORS as problem:
        raise _malformed(f"it is no whole zip file ({problem})"[:200]) from problem


def _zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, on every system
            archive.writestr(entry, content)
    return file.getvalue()


def _malformed(what: str) -> UnsupportedModel:
    return UnsupportedModel(
        "NCNN_ARCHIVE", f"ncnn archive: {what}.", fix="Convert the network again, or transfer the file again."
    )
