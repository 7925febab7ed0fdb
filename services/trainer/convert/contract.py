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
    "Footprint",
    "LayerReport",
    "RoundingReport",
    "Simulator",
    "Target",
    "as_one_file",
]

Images = npt.NDArray[np.uint8]
Outputs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ConvertOptions:
    """Choices of a conversion; the defaults are those that measured best.

    `prescale`: bits of fraction the activation unit works with, 10 to 18; more make rounding ties rare. `firmware`:
    whose RAM decides whether the model is too large, by its name in the report; "": the roomiest of the chip's.
    """

    weight_range: Literal["max", "mse"] = "max"
    bias_correction: bool = True
    prescale: int = 16
    allow_oversize: bool = False
    max_calibration_images: int = 64
    firmware: str = ""


@dataclass(frozen=True)
class LayerReport:
    """One layer of the converted model, in the order it runs."""

    name: str
    type: str
    unit: str  # where it runs: "KPU", "NPU" or "CPU"
    output_shape: tuple[int, ...]
    range: tuple[float, float]  # real values the output can hold; (0, 0) for float layers
    snr_db: float | None  # of the output against the float network on the calibration images; None for float layers


@dataclass(frozen=True)
class BoardMemory:
    """Estimated RAM that the loaded model takes on a board with this firmware, and what there is; 0: not known."""

    firmware: str
    bytes: int
    budget: int = 0

    @property
    def fits(self) -> bool:
        return not self.budget or self.bytes <= self.budget


@dataclass(frozen=True)
class Footprint:
    """What a network will cost when it is converted, known from its shape alone. Sizes in bytes.

    `too_large`: why the converter will refuse it unless oversize is allowed; "" = it fits.
    """

    file_size: int
    main_memory: int  # working memory beside the file
    board_memory: tuple[BoardMemory, ...] = ()
    too_large: str = ""

    @property
    def ram(self) -> int:
        """Bytes on the board: those of the hungriest firmware, else the file and its working memory."""
        return max((memory.bytes for memory in self.board_memory), default=self.file_size + self.main_memory)


@dataclass(frozen=True)
class RoundingReport:
    """Both tie-rounding rules that exist in the makers' tools, run on the calibration images."""

    agreement: float  # same highest output, share of images
    largest_difference: float  # of any output


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a person wants to know about a converted model before it goes to a board. Sizes in bytes.

    Fields that only some chips have stay at their default for the others.
    """

    target: str
    file_size: int
    main_memory: int  # working memory beside the file
    kpu_rows: int = 0  # K210 only
    kpu_rows_available: int = 0
    board_memory: tuple[BoardMemory, ...] = ()
    layers: tuple[LayerReport, ...]
    off_accelerator: tuple[tuple[str, str], ...] = ()  # (layer, why)
    calibration_images: int
    agreement: float  # float and converted model have the same highest output, share of calibration images
    output_snr_db: float
    rounding: RoundingReport | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)


@dataclass(frozen=True)
class ConvertedModel:
    """A file for the chip, with the name a board's storage gets it under.

    `data` is always one file: what a release carries and the simulator loads. Where a chip's tools want several,
    `Target.unpack` gives them.
    """

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
        """uint8 (n, c, h, w), RGB planar, to float32 (n, outputs): logits, or the last map flattened in CHW order.

        A softmax at the end of the network is never in the file: the script on the board takes it.
        """


def as_one_file(data: bytes, stem: str, suffix: str) -> dict[str, bytes]:
    return {f"{stem}{suffix}": data}


@dataclass(frozen=True)
class Target:
    """A chip and a file format we convert for. `convert(graph, calibration_u8, options)`; `simulator(data)`.

    `footprint(graph)`: the size before anything is trained; raises UnsupportedModel like `convert`. None: not known.
    `board_type` is what boards of this chip call themselves; a release goes to them only. `unpack(data, stem, suffix)`
    gives the files that the chip's own tools read, by name.
    """

    id: str
    title: str
    description: str
    board_type: str  # "k210", "v831", "linux", "mcu", "web"
    format: str
    suffix: str  # of the file, ".kmodel"
    convert: Callable[[Graph, Images, ConvertOptions], ConvertedModel]
    simulator: Callable[[bytes], Simulator]
    unpack: Callable[[bytes, str, str], dict[str, bytes]] = as_one_file
    footprint: Callable[[Graph], Footprint] | None = None

    def describe(self) -> str:
        return f"{self.title}: {self.description}"
