"""What a person is told about networks before a training: the contract's messages of estimates and proposals."""

from __future__ import annotations

from typing import cast, get_args

from services.common.errors import InvalidInput
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer.config import HEADS, Backbone, Pooling, Task, TrainingConfig, default_head
from services.trainer.estimate import Estimate, check_fits, estimate
from services.trainer.parameters import DEFAULT_TARGET, check_pooling
from services.trainer.proposals import Proposal, propose

__all__ = ["check_network", "estimate_message", "estimate_of", "network_estimate", "proposals", "used_labels"]

TASKS = ("classification", "detection")
MAX_LABELS = 100  # of a project
SMALLEST, LARGEST, STEP = 96, 320, 32  # pixels of a side


def proposals(request: pb.ProposeNetworksRequest) -> pb.ProposeNetworksResponse:
    """InvalidInput for an unknown target or task, a head of another task, or too few or many labels."""
    labels, head = _labels(request.labels), _head(request.head, request.task)
    target = request.target or DEFAULT_TARGET
    found = propose(target, labels, head, request.pictures)
    return pb.ProposeNetworksResponse(proposals=[_proposal(one, target, head) for one in found])


def network_estimate(request: pb.EstimateNetworkRequest) -> pb.EstimateNetworkResponse:
    """InvalidInput for an unknown target, task, backbone or pooling, a head or pooling of another task, or a side
    out of range.
    """
    default = TrainingConfig()
    backbone, width = request.backbone or default.backbone, request.input_width or default.input_size
    height = request.input_height or width
    if backbone not in get_args(Backbone):
        known = ", ".join(get_args(Backbone))
        raise _wrong("backbone", f"There is no backbone {backbone!r}.", f"Choose one of: {known}.")
    if any(not SMALLEST <= side <= LARGEST or side % STEP for side in (width, height)):
        words = f"The input is {width}x{height}."
        raise _wrong("input_width", words, f"Take sides of {SMALLEST} to {LARGEST} pixels, multiples of {STEP}.")
    labels, target = _labels(request.labels), request.target or DEFAULT_TARGET
    head = _head(request.head, request.task)
    pooling = _pooling(request.pooling or default.pooling, head)
    found = estimate(cast(Backbone, backbone), width, height, labels, target, head, pooling)
    return pb.EstimateNetworkResponse(estimate=_estimate(found, backbone, width, height, target, head))


def check_network(parameters: pb.TrainingParameters, version: collector_pb2.DatasetVersion) -> None:
    """UnsupportedModel before a training whose network could not be converted for its target."""
    check_fits(estimate_of(parameters, version), parameters.target, parameters.allow_oversize)


def estimate_of(parameters: pb.TrainingParameters, version: collector_pb2.DatasetVersion) -> Estimate:
    """Of the network that a training with these (resolved) parameters makes."""
    width, height = parameters.input_size, parameters.input_height or parameters.input_size
    backbone = cast(Backbone, parameters.backbone)
    pooling = cast(Pooling, parameters.pooling)
    return estimate(backbone, width, height, used_labels(version), parameters.target, parameters.head, pooling)


def estimate_message(found: Estimate, parameters: pb.TrainingParameters) -> pb.NetworkEstimate:
    """The same for the contract."""
    width, height = parameters.input_size, parameters.input_height or parameters.input_size
    return _estimate(found, parameters.backbone, width, height, parameters.target, parameters.head)


def used_labels(version: collector_pb2.DatasetVersion) -> tuple[str, ...]:
    """Those that have a picture or a box, in the order of the model's outputs."""
    used = {one.label for one in version.label_counts if one.count}
    return tuple(label for label in version.labels if label in used) or tuple(version.labels)


def _head(head: str, task: str) -> str:
    """The one that is asked for, or the first of the task."""
    if task not in ("", *TASKS):
        raise _wrong("task", f"There is no task {task!r}.", 'Choose "classification" or "detection".')
    if not head:
        return default_head(cast(Task, task or TASKS[0]))
    if head not in HEADS or task not in ("", HEADS[head]):
        fitting = ", ".join(one for one, its in HEADS.items() if task in ("", its))
        raise _wrong("head", f"There is no head {head!r}{task and ' for '}{task}.", f"Choose one of: {fitting}.")
    return head


def _pooling(pooling: str, head: str) -> Pooling:
    if pooling not in get_args(Pooling):
        known = ", ".join(get_args(Pooling))
        raise _wrong("pooling", f"There is no pooling {pooling!r}.", f"Choose one of: {known}.")
    check_pooling(pooling, head)
    return cast(Pooling, pooling)


def _labels(labels: object) -> tuple[str, ...]:
    given = tuple(cast("list[str]", labels))
    if not 1 <= len(given) <= MAX_LABELS:
        raise _wrong("labels", f"{len(given)} labels.", f"Name 1 to {MAX_LABELS} labels.")
    return given


def _wrong(field: str, message: str, fix: str) -> InvalidInput:
    return InvalidInput("NETWORK_REQUEST", message, fix=fix, field=field)


def _proposal(one: Proposal, target: str, head: str) -> pb.NetworkProposal:
    return pb.NetworkProposal(
        estimate=_estimate(one.estimate, one.backbone, one.width, one.height, target, head),
        relative_speed=one.relative_speed,
        recommended=one.recommended,
        reason=one.reason,
        why=one.why,
    )


def _estimate(found: Estimate, backbone: str, width: int, height: int, target: str, head: str) -> pb.NetworkEstimate:
    return pb.NetworkEstimate(
        backbone=backbone,
        input_width=width,
        input_height=height,
        target=target,
        parameters=found.parameters,
        multiply_adds=found.multiply_adds,
        file_bytes=found.file_size,
        ram_bytes=found.ram,
        ram_budget_bytes=found.budget,
        refusal=found.refusal,
        layer=found.layer,
        oversize=found.oversize,
        unknown=found.unknown,
        head=head,
    )
