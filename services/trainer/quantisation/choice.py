"""The plain conversion beside the fine-tuned one: the chip's simulator on the validation split says which is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import BoardloopError
from services.trainer.convert import ConvertedModel
from services.trainer.graph import Graph
from services.trainer.quantisation.tune import tuned_graph

__all__ = ["Candidate", "better"]

Outputs = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network, its file, and what the chip's simulator answers on the validation split (n, values)."""

    graph: Graph
    model: ConvertedModel
    outputs: Outputs


def better(
    folder: Path,
    plain: Candidate,
    build: Callable[[Graph], Candidate],
    score: Callable[[Outputs], float],
    measure: str,
    tell: Callable[[str], None],
) -> Candidate:
    """`plain`, or what `build` makes of the job folder's fine-tuned weights when its `score` (0 to 1) is higher.

    Both figures go into the log by `tell`, and as a note into the report of the file that is kept. `measure`: the
    score's name.
    """
    target = plain.model.target
    found = tuned_graph(folder, plain.graph, target)
    if found is None:
        return plain
    graph, epochs = found
    try:
        tuned = build(graph)
    except BoardloopError as error:
        words = f"Quantisation-aware fine-tuning: its network cannot be converted ({error.message}); the plain is kept."
        return _noted(plain, words, tell)
    before, after = score(plain.outputs), score(tuned.outputs)
    kept, name = (tuned, "fine-tuned") if after > before else (plain, "plain")
    words = (
        f"Quantisation-aware fine-tuning ({epochs} epoch{'s' * (epochs > 1)}): {measure} {before:.1%} without and "
        f"{after:.1%} with it, over {len(plain.outputs)} validation pictures in the chip's simulator: the {name} file "
        "is kept."
    )
    return _noted(kept, words, tell)


def _noted(kept: Candidate, words: str, tell: Callable[[str], None]) -> Candidate:
    tell(words)
    report = replace(kept.model.report, notes=(*kept.model.report.notes, words))
    return replace(kept, model=replace(kept.model, report=report))
