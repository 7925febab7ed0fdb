"""What a person may choose for a conversion, from a job's parameters, a request or the command line."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from services.common.errors import InvalidInput
from services.trainer.convert import TARGETS
from services.trainer.convert.contract import ConvertOptions

__all__ = ["MAX_ACCURACY_DROP", "Choices", "check_target"]

MAX_ACCURACY_DROP = 0.03  # what 8 bits usually cost, and what a hundred pictures can tell
_FILE = "conversion.json"


@dataclass(frozen=True)
class Choices:
    """`max_accuracy_drop` (0 to 1): a conversion that costs more accuracy, or mAP, fails; 1 lets everything pass.

    `allow_oversize`, `weight_range`: see ConvertOptions. InvalidInput for a value out of range.
    """

    max_accuracy_drop: float = MAX_ACCURACY_DROP
    allow_oversize: bool = False
    weight_range: Literal["max", "mse"] = "max"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_accuracy_drop) and 0 <= self.max_accuracy_drop <= 1):
            raise InvalidInput(
                "CONVERSION_OPTIONS",
                f"max_accuracy_drop is {self.max_accuracy_drop}; it is a share from 0 to 1.",
                fix="0.03 allows three points of accuracy; 1 switches the check off.",
                field="max_accuracy_drop",
            )
        if self.weight_range not in ("max", "mse"):
            raise InvalidInput(
                "CONVERSION_OPTIONS",
                f"weight_range is {self.weight_range!r}.",
                fix='Choose "max" (every weight fits) or "mse" (outliers are clipped).',
                field="weight_range",
            )

    @classmethod
    def of(cls, max_accuracy_drop: float | None, allow_oversize: bool, weight_range: str = "") -> Choices:
        """None and "" stand for the defaults."""
        drop = MAX_ACCURACY_DROP if max_accuracy_drop is None else max_accuracy_drop
        return cls(drop, allow_oversize, cast(Literal["max", "mse"], weight_range or "max"))

    def options(self) -> ConvertOptions:
        return ConvertOptions(weight_range=self.weight_range, allow_oversize=self.allow_oversize)

    def write(self, folder: Path) -> None:
        """Into a job folder, for its child processes."""
        (folder / _FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Choices:
        """Those of a job folder; the defaults when it has none."""
        path = folder / _FILE
        return cls(**json.loads(path.read_text())) if path.exists() else cls()


def check_target(target: str) -> None:
    """InvalidInput (UNKNOWN_TARGET) names the targets that there are."""
    if target not in TARGETS:
        known = ", ".join(sorted(TARGETS))
        raise InvalidInput("UNKNOWN_TARGET", f"There is no target {target!r}.", fix=f"Choose one of: {known}.")
