"""Which network for which chip: combinations of backbone and input in order, each with its size, before any training.

The order is a rule of thumb, not a measurement: more multiply-adds see more, weights from ImageNet are worth more than
either where pictures are few, and what a chip runs badly or a full firmware has no room for comes behind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from services.trainer.backbones import BACKBONES
from services.trainer.choices import check_target
from services.trainer.config import HEADS, Backbone
from services.trainer.convert import TARGETS
from services.trainer.estimate import Estimate, estimate
from services.trainer.packages.content import GRID
from services.trainer.parameters import PRETRAINED_BACKBONES

__all__ = ["INPUTS", "Proposal", "propose"]

INPUTS = ((96, 96), (128, 128), (160, 160), (224, 224), (320, 224))  # (width, height) in pixels
NARROW: tuple[Backbone, ...] = (
    "mobilenet_v1_0.25", "mobilenet_v1_0.5", "mobilenet_v1_0.75", "mobilenet_v2_0.35", "tiny_cnn",
)  # fmt: skip
V5_SIZES = (128, 224)
SHORT, A_BACKBONE, REFUSED = 6, 2, 3  # so many in all, of each backbone, and of those refused
FEW_PICTURES = 5000
PRETRAINED, PRETRAINED_OF_MANY = 5.0, 2.0  # in doublings of the multiply-adds, as all below
TIGHT, DENSE = 4.0, 8.0
STRETCHED = 1.0  # a board's picture of a thing to be named is square; one to find things in is as wide as the camera
DEPTHWISE = ("mobilenet_", "efficientnet_", "tiny_cnn")
ENOUGH_WORK = {"mcu": 2e7}  # multiply-adds of one image from which on more is no longer better
ENOUGH_WORK_ELSEWHERE = 3e8
YOLO2_BOARDS = ("k210", "v831")  # whose packages bring MaixPy's decoder
MCU_MAPS = 256 << 10  # bytes of RAM that common microcontrollers have for maps

WHY = {
    "best": "Recommended: of those that fit with room to spare it should see the most.",
    "pretrained": "Starts from ImageNet weights, which counts most while pictures are few.",
    "scratch": "Starts from random weights: it needs many more pictures to become as good.",
    "tight": "Fits only where little else needs memory, a minimum firmware say.",
    "dense": "The chip has no depthwise convolutions; they become dense ones, many times larger.",
    "slow": "Much work for such a board: try its speed before you decide.",
}


@dataclass(frozen=True)
class Proposal:
    """`relative_speed`: multiply-adds of the recommended one by its own; 2 should run twice as fast."""

    backbone: Backbone
    width: int
    height: int
    estimate: Estimate
    relative_speed: float
    recommended: bool
    reason: str  # a key of WHY, or "refused"
    why: str


@dataclass(frozen=True)
class _Candidate:
    backbone: Backbone
    width: int
    height: int
    estimate: Estimate
    reason: str
    score: float


def propose(target: str, labels: tuple[str, ...], head: str = "classifier", pictures: int = 0) -> list[Proposal]:
    """The recommended one first, then by expected use, those refused last; all with `head`, of config.HEADS.

    InvalidInput for an unknown target.
    """
    check_target(target)
    found = [
        _candidate(*one, estimate(*one, labels, target, head), TARGETS[target].board_type, pictures, head)
        for one in _combinations(target, head)
    ]
    ordered = sorted(found, key=lambda one: -one.score)
    fitting = _short([one for one in ordered if one.estimate.fits], SHORT, A_BACKBONE)
    unfit = sorted((one for one in ordered if not one.estimate.fits), key=lambda one: not one.estimate.oversize)
    refused = _short(unfit, REFUSED, 1)
    work = fitting[0].estimate.multiply_adds if fitting else 0
    return [_proposal(one, work, one is fitting[0]) for one in fitting] + [_proposal(one, work) for one in refused]


def _combinations(target: str, head: str) -> Iterable[tuple[Backbone, int, int]]:
    """All; of kmodel V5, whose compiler takes a second for each, a few that it keeps on the KPU; of the depthwise
    networks, which V831 needs as dense ones, no wide ones; for a detector whose cells the board's decoder takes as
    32 x 32 pixels, no cut ones."""
    names: tuple[Backbone, ...] = get_args(Backbone)
    if head == "yolo2" and TARGETS[target].board_type in YOLO2_BOARDS:
        names = tuple(name for name in names if BACKBONES[name]().stride == GRID)
    if TARGETS[target].format == "kmodel_v5":
        return [(backbone, size, size) for backbone in NARROW[:3] for size in V5_SIZES]
    if TARGETS[target].board_type == "v831":
        names = tuple(name for name in names if name in NARROW or not name.startswith(DEPTHWISE))
    return [(backbone, width, height) for backbone in names for width, height in INPUTS]


def _candidate(
    backbone: Backbone, width: int, height: int, size: Estimate, board: str, pictures: int, head: str
) -> _Candidate:
    score = math.log2(size.multiply_adds)
    pretrained = backbone.startswith(PRETRAINED_BACKBONES)
    reason = "pretrained" if pretrained else "scratch"
    if pretrained:
        score += PRETRAINED if pictures < FEW_PICTURES else PRETRAINED_OF_MANY
    if HEADS[head] == "classification" and width != height:
        score -= STRETCHED
    over = math.log2(size.multiply_adds / ENOUGH_WORK.get(board, ENOUGH_WORK_ELSEWHERE))
    if over > 0:
        score, reason = score - 2 * over, "slow"
    if (size.least_budget and size.ram > size.least_budget) or (board == "mcu" and size.maps > MCU_MAPS):
        score, reason = score - TIGHT, "tight"
    if board == "v831" and backbone.startswith(DEPTHWISE):
        score, reason = score - DENSE, "dense"
    return _Candidate(backbone, width, height, size, reason, score)


def _short(candidates: Iterable[_Candidate], count: int, each: int) -> list[_Candidate]:
    """The first `count`, of each backbone at most `each`."""
    taken: list[_Candidate] = []
    seen: Counter[str] = Counter()
    for one in candidates:
        seen[one.backbone] += 1
        if seen[one.backbone] <= each and len(taken) < count:
            taken.append(one)
    return taken


def _proposal(one: _Candidate, work: int, recommended: bool = False) -> Proposal:
    refused = not one.estimate.fits
    reason = "refused" if refused else "best" if recommended else one.reason
    why = one.estimate.refusal if refused else WHY[reason]
    speed = work / one.estimate.multiply_adds
    return Proposal(one.backbone, one.width, one.height, one.estimate, speed, recommended, reason, why)
