"""What a package is made of, and what a kind of package is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import TARGETS
from services.trainer.convert.common import file_stem
from services.trainer.convert.contract import Target
from services.trainer.graph import InputSpec

__all__ = ["FLASH_ADDRESS", "GRID", "Package", "PackageContent"]

FLASH_ADDRESS = 0x300000  # where Sipeed's examples keep their models
GRID = 32  # pixels of the input in a cell of a detector's last map


@dataclass(frozen=True, eq=False)
class PackageContent:
    """A converted file and what is known of it.

    `anchors`: (width, height) in cells, () for a classifier. `report`: ConversionReport.to_json(); `fidelity`:
    Fidelity.to_json(), {} where nothing was measured. `flash_address`: where a kfpkg puts the model, in bytes.
    """

    model_id: str
    name: str
    target: str
    data: bytes = field(repr=False)
    labels: tuple[str, ...]
    input: InputSpec
    anchors: tuple[tuple[float, float], ...] = ()
    report: dict[str, Any] = field(default_factory=dict, repr=False)
    fidelity: dict[str, Any] = field(default_factory=dict, repr=False)
    flash_address: int = FLASH_ADDRESS

    def __post_init__(self) -> None:
        if not self.labels:
            raise InvalidInput("NO_LABELS", "A package needs the model's labels.", fix="Give one label per output.")

    @property
    def task(self) -> Literal["classification", "detection"]:
        """MaixHub's word for it."""
        return "detection" if self.anchors else "classification"

    @property
    def stem(self) -> str:
        """Names of the files in the package begin like this: "model-1f2e3d4c5b6a"."""
        return f"model-{file_stem(self.model_id)}"

    @property
    def flat_anchors(self) -> tuple[float, ...]:
        """w, h, w, h … as the boards' decoders take them; six digits are far finer than a pixel."""
        return tuple(round(float(side), 6) for anchor in self.anchors for side in anchor)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of a detector's last map, by the converter's report; without one, what the boards' programs assume."""
        layers = self.report.get("layers") or [{"output_shape": ()}]
        last = tuple(layers[-1]["output_shape"])
        return last[1:] if len(last) == 3 else (self.input.height // GRID, self.input.width // GRID)

    def check_cells(self) -> None:
        """UnsupportedModel for a detector whose cells are not those that the boards' decoders are told."""
        height, width = self.grid
        if self.anchors and (GRID * height, GRID * width) != (self.input.height, self.input.width):
            raise UnsupportedModel(
                "DETECTOR_CELLS",
                f"The boards' programs take a detector's cells as {GRID} x {GRID} pixels; this one divides "
                f"{self.input.width} x {self.input.height} pixels into {width} x {height} cells.",
                fix=f"Train with an input that is a multiple of {GRID} and a backbone that shrinks it {GRID} times.",
            )

    def unpacked(self) -> dict[str, bytes]:
        """The files that the chip's own tools read, by name."""
        target = TARGETS[self.target]
        return target.unpack(self.data, self.stem, target.suffix)


@dataclass(frozen=True)
class Package:
    """A kind of package: `takes(target)` says of which targets, `contents(content)` gives the files by name."""

    kind: str
    suffix: str  # behind the stem: "-k210.zip"
    takes: Callable[[Target], bool]
    contents: Callable[[PackageContent], dict[str, bytes]]
