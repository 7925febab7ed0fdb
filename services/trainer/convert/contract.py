"""What every converter takes and gives: options, the converted file, its report, and the simulator of the chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from services.trainer.graph import Graph

__all__ = [
    "BoardMemory",
    "ConversionReport",
    "ConvertOptions",
    "ConvertedModel",
    "LayerReport",
    "RoundingReport",
    "Simulator",
    "Target",
]

Images = npt.NDArray[np.uint8]
Outputs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ConvertOptions:
    """Choices of a conversion; the defaults are those that measured best.

    `prescale`: bits of fraction the activation unit works with, 10 to 18; more make rounding ties rare.
    """

    weight_range: Literal["max", "mse"] = "max"
    bias_correction: bool = True
    prescale: int = 16
    allow_oversize: bool = False
    max_calibration_images: int = 64


@dataclass(frozen=True)
class LayerReport:
    """One layer of the converted model, in the order it runs."""

    name: str
    type: str
    unit: str  # where it runs: "KPU" or "CPU"
    output_shape: tuple[int, ...]
    range: tuple[float, float]  # real values the output can hold; (0, 0) for float layers
    snr_db: float | None  # of the output against the float network on the calibration images; None for float layers


@dataclass(frozen=True)
class BoardMemory:
    """Estimated RAM that the loaded model takes on a board with this firmware."""

    firmware: str
    bytes: int


@dataclass(frozen=True)
class RoundingReport:
    """Both tie-rounding rules that exist in the makers' tools, run on the calibration images."""

    agreement: float  # same highest output, share of images
    largest_difference: float  # of any output


@dataclass(frozen=True)
class ConversionReport:
    """What a person wants to know about a converted model before it goes to a board. Sizes in bytes."""

    target: str
    file_size: int
    main_memory: int
    kpu_rows: int
    kpu_rows_available: int
    board_memory: tuple[BoardMemory, ...]
    layers: tuple[LayerReport, ...]
    off_accelerator: tuple[tuple[str, str], ...]  # (layer, why)
    calibration_images: int
    agreement: float  # float and converted model have the same highest output, share of calibration images
    output_snr_db: float
    rounding: RoundingReport | None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)


@dataclass(frozen=True)
class ConvertedModel:
    """A file for the chip, with the name a board's storage gets it under."""

    target: str
    format: str
    file_name: str
    data: bytes = field(repr=False)
    report: ConversionReport


class Simulator(Protocol):
    """The chip on the host, running a converted file."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(c, h, w)."""

    def run(self, images_u8: Images) -> Outputs:
        """uint8 (n, c, h, w), RGB planar, to float32 (n, outputs)."""


@dataclass(frozen=True)
class Target:
    """A chip we convert for. `convert(graph, calibration_u8, options)`; `simulator(data)`."""

    id: str
    title: str
    description: str
    format: str
    convert: Callable[[Graph, Images, ConvertOptions], ConvertedModel]
    simulator: Callable[[bytes], Simulator]

    def describe(self) -> str:
        return f"{self.title}: {self.description}"
