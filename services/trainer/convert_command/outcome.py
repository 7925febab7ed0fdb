"""What a conversion gave, here or on a server, and the files that it leaves."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.common.errors import InvalidInput
from services.common.fidelity import Fidelity
from services.common.i18n import Translator
from services.trainer.convert_command.page import page
from services.trainer.imaging import open_rgb

__all__ = ["Outcome", "data_address", "write"]

THUMBNAIL = 192  # px


@dataclass(frozen=True, eq=False)
class Outcome:
    """`files`: by name, as the chip's tools read them; empty when the conversion cost too much.

    `picture(id)`: a changed picture's address for the page, "" = there is none.
    """

    model: str
    target: str
    report: dict[str, Any]
    fidelity: Fidelity
    picture: Callable[[str], str]
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    shared_images: bool = False  # the same pictures calibrated and measured


def write(outcome: Outcome, folder: Path, t: Translator) -> list[Path]:
    """Everything into `folder`; returns the paths. InvalidInput when it cannot be written."""
    content = {
        **outcome.files,
        "conversion.json": _json(outcome.report),
        "fidelity.json": _json(outcome.fidelity.to_json()),
        "fidelity.html": page(outcome.model, outcome.fidelity, outcome.report, outcome.picture, t).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise InvalidInput(
            "OUT_NOT_WRITABLE", f"{folder} cannot be written: {error}.", fix="Name another folder with --out."
        ) from error
    return [folder / name for name in content]


def data_address(picture: bytes, name: str) -> str:
    """A small JPEG of the picture inside a data: address."""
    small = open_rgb(picture, name)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _json(values: object) -> bytes:
    return json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n"
