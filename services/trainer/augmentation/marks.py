"""The boxes of a batch while its pictures are changed, and the rule by which one is dropped.

A box is cut at what can be seen of it. It stays while at least `least_visible` of its whole area, as it would be
without any border, can be seen: borders of the picture, of a mosaic's tile and the cut-out rectangle all count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from services.trainer.detection.boxes import Box, Truth

__all__ = ["Marks"]

Floats = npt.NDArray[np.float64]
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Marks:
    """m boxes: the picture of each, its label, edges (m, 4) as shares of the picture, and its uncut area."""

    owner: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    edges: Floats
    area: Floats

    @classmethod
    def of(cls, truths: Sequence[Sequence[Truth]]) -> Marks:
        rows = [(index, truth.label, *truth.box) for index, items in enumerate(truths) for truth in items]
        table = np.array(rows, np.float64).reshape(-1, 6)
        return cls(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:], _area(table[:, 2:]))

    def truths(self, n: int, least_visible: float) -> list[list[Truth]]:
        """Of each of n pictures; boxes of which too little can be seen are left out."""
        found: list[list[Truth]] = [[] for _ in range(n)]
        for owner, label, edges, area in zip(self.owner, self.label, self.edges, self.area, strict=True):
            if _area(edges) >= max(least_visible * area, 1e-9):
                found[owner].append(Truth(int(label), Box(*(float(edge) for edge in edges))))
        return found

    def of_pictures(self, sources: npt.NDArray[np.int64]) -> Marks:
        """Those of the pictures `sources` (n,), which now stand at 0 … n - 1; one may stand there twice."""
        picked = [(new, np.flatnonzero(self.owner == old)) for new, old in enumerate(sources.tolist())]
        rows = np.concatenate([rows for _, rows in picked]) if picked else np.zeros(0, np.int64)
        owner = np.repeat([new for new, _ in picked], [len(rows) for _, rows in picked]).astype(np.int64)
        return Marks(owner, self.label[rows], self.edges[rows], self.area[rows])

    def moved(self, theta: Tensor, within: Floats = WHOLE) -> Marks:
        """After sampling with theta (n, 2, 3), output to input position in grid coordinates (-1 … 1).

        A turned box becomes the upright one around its corners; `within` (4,) or (n, 4) is what can be seen.
        """
        matrix = theta.double().numpy()
        turn, shift = np.linalg.inv(matrix[:, :, :2])[self.owner], matrix[:, :, 2][self.owner]
        corners = self.edges[:, [[0, 1], [2, 1], [0, 3], [2, 3]]] * 2 - 1 - shift[:, None]  # (m, 4, 2)
        corners = (np.einsum("mij,mcj->mci", turn, corners) + 1) / 2
        whole = np.concatenate([corners.min(1), corners.max(1)], 1)
        before = _area(self.edges)
        grown = np.divide(_area(whole), before, out=np.ones_like(before), where=before > 0)
        limits = np.broadcast_to(within, (len(matrix), 4))[self.owner]
        low = np.clip(whole[:, :2], limits[:, :2], limits[:, 2:])
        high = np.clip(whole[:, 2:], limits[:, :2], limits[:, 2:])
        return Marks(self.owner, self.label, np.concatenate([low, high], 1), self.area * grown)

    def hidden(self, holes: Floats, least_visible: float) -> Marks:
        """Without the boxes of which the hole of their picture, (n, 4), leaves too little; the others stay uncut."""
        hole = holes[self.owner]
        sides = np.minimum(self.edges[:, 2:], hole[:, 2:]) - np.maximum(self.edges[:, :2], hole[:, :2])
        seen = _area(self.edges) - sides.clip(min=0).prod(1)
        return self.only(seen >= least_visible * self.area)

    def only(self, rows: npt.NDArray[np.bool_]) -> Marks:
        return Marks(self.owner[rows], self.label[rows], self.edges[rows], self.area[rows])

    def and_of(self, other: Marks) -> Marks:
        """Both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Marks(*(np.concatenate(pair) for pair in pairs))


def _area(edges: Floats) -> Floats:
    area: Floats = (edges[..., 2:] - edges[..., :2]).clip(min=0).prod(-1)
    return area
