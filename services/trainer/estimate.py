"""What a network will cost on the chip, known before anybody trains it: milliseconds to a second, nothing calibrated.

(backbone, labels, head) ─► untrained network ─► the target's own footprint ─► size, RAM, or the layer that cannot run

The numbers in the weights change neither layers nor sizes: an untrained network tells what the trained one will take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from services.common.errors import BoardloopError, UnsupportedModel
from services.trainer.choices import check_target
from services.trainer.config import Backbone, Pooling, TrainingConfig
from services.trainer.convert import TARGETS, check_head
from services.trainer.convert.contract import Footprint
from services.trainer.graph import GlobalAveragePool, Graph, Head, Layer

__all__ = ["Estimate", "check_fits", "estimate", "untrained"]

ANCHORS = ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0), (3.0, 3.0))  # five, as both boards' decoders need
_KEPT_NETWORKS = 8  # of up to 45 MB
_KEPT_ESTIMATES = 512


@dataclass(frozen=True)
class Estimate:
    """`file_size`, `maps` (working memory) and `ram` (both) in bytes, 0 where not known; `budget`: the RAM there is,
    and `least_budget` that of the fullest firmware, or 0.

    `refusal`: why such a network cannot be converted, in words with the way out, "" = it can; `layer`: where. A refusal
    that `oversize` marks is of the size alone: allow_oversize converts it all the same. `unknown`: why a size is not
    known though the network may well run.
    """

    parameters: int
    multiply_adds: int
    file_size: int = 0
    maps: int = 0
    ram: int = 0
    budget: int = 0
    least_budget: int = 0
    refusal: str = ""
    layer: str = ""
    oversize: bool = False
    unknown: str = ""

    @property
    def fits(self) -> bool:
        return not self.refusal


def estimate(
    backbone: Backbone,
    width: int,
    height: int,
    labels: tuple[str, ...],
    target: str,
    head: str = "classifier",
    pooling: Pooling = "average",
) -> Estimate:
    """InvalidInput for an unknown target. `width` and `height` in pixels, multiples of 32; `head`: of config.HEADS."""
    check_target(target)
    return _estimate(backbone, width, height, labels, target, head, pooling)


def check_fits(found: Estimate, target: str, allow_oversize: bool) -> None:
    """UnsupportedModel, with the reason and the layer, for a network that could not be converted after its training."""
    if found.refusal and not (found.oversize and allow_oversize):
        raise UnsupportedModel(
            "NETWORK_DOES_NOT_FIT",
            f"This network cannot be converted for {target}: {found.refusal}",
            fix="The page's table shows networks that fit." + (" Or allow the size." if found.oversize else ""),
            **({"layer": found.layer} if found.layer else {}),
        )


@lru_cache(maxsize=_KEPT_ESTIMATES)
def _estimate(
    backbone: Backbone, width: int, height: int, labels: tuple[str, ...], target: str, head: str, pooling: Pooling
) -> Estimate:
    graph = untrained(backbone, width, height, labels, head)
    size = graph.parameters(), graph.multiply_adds()
    footprint = TARGETS[target].footprint
    try:
        check_head(head, target)
        graph = _pooled(graph, pooling)
        if footprint is None:
            return Estimate(*size, unknown=f"The target {target} tells its sizes only of a converted file.")
        found = footprint(graph)
    except UnsupportedModel as error:
        return Estimate(*size, refusal=str(error), layer=error.metadata.get("layer", ""))
    except BoardloopError as error:
        return Estimate(*size, unknown=str(error))
    sizes = found.file_size, found.main_memory, found.ram, *_budgets(found)
    return Estimate(*size, *sizes, found.too_large, oversize=bool(found.too_large))


def untrained(backbone: Backbone, width: int, height: int, labels: tuple[str, ...], head: str = "classifier") -> Graph:
    """A classifier or a detector with random weights; `head`: a name of services.trainer.config.HEADS."""
    from services.trainer.model import input_spec

    layers = _layers(backbone, len(labels), head)
    anchors = ANCHORS if head == "yolo2" else ()
    name = "classifier" if head == "classifier" else "detector"
    own: Head = "anchor_free" if head == "anchor_free" else ""
    return Graph(name, input_spec(height, width), layers, labels, anchors, own)


def _pooled(graph: Graph, pooling: Pooling) -> Graph:
    """A classifier with this pooling in place of the average. UnsupportedModel where its map is too small."""
    from services.trainer.heads.classifier import peaks

    if pooling != "peaks":
        return graph
    at = next(i for i, layer in enumerate(graph.layers) if isinstance(layer, GlobalAveragePool))
    _, height, width = graph.shapes()[at - 1]
    return replace(graph, layers=(*graph.layers[:at], *peaks(height, width), *graph.layers[at:]))


@lru_cache(maxsize=_KEPT_NETWORKS)
def _layers(backbone: Backbone, classes: int, head: str) -> tuple[Layer, ...]:
    from services.trainer.networks import build

    config = TrainingConfig.model_validate({"backbone": backbone, "head": head})
    model = build(config, classes, ANCHORS).eval()
    return (*model.backbone.graph_layers(), *model.head.graph_layers())


def _budgets(found: Footprint) -> tuple[int, int]:
    """The most RAM that a firmware has, by which a converter refuses, and the least."""
    budgets = [memory.budget for memory in found.board_memory if memory.budget]
    return max(budgets, default=0), min(budgets, default=0)
