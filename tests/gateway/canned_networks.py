"""Answers of a trainer that is asked which networks fit, with the sizes of real ones."""

from __future__ import annotations

from services.common.errors import InvalidInput
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t

BUDGET = 1887436
TOO_LARGE = "the model takes 1956736 bytes of RAM on the board; MaixPy-v1 minimum has about 1887436."


def canned_networks(request: t.ProposeNetworksRequest) -> t.ProposeNetworksResponse:
    """Three for a K210; others have one."""
    target, head = request.target, request.head or "classifier"
    if target == "nonsense":
        raise InvalidInput("UNKNOWN_TARGET", "There is no target 'nonsense'.", fix="Choose another.")
    rows = [
        ("mobilenet_v1_0.5", 224, 885696, 148_000_000, "best", ""),
        ("mobilenet_v1_0.25", 160, 249792, 20_600_000, "pretrained", ""),
        ("mobilenet_v1_0.75", 224, 1956480, 324_000_000, "refused", TOO_LARGE),
    ]
    proposals = [
        t.NetworkProposal(
            estimate=_estimate(target, head, backbone, size, size, file, work, refusal),
            relative_speed=rows[0][3] / work, recommended=reason == "best", reason=reason, why=refusal or "Because.",
        )
        for backbone, size, file, work, reason, refusal in rows[: 3 if target.startswith("k210") else 1]
    ]  # fmt: skip
    return t.ProposeNetworksResponse(proposals=proposals)


def canned_estimate(request: t.EstimateNetworkRequest) -> t.EstimateNetworkResponse:
    """Below 128 pixels it refuses, as a K210 does, and peaks below 256; without anchors it has more work."""
    width, height = request.input_width or 128, request.input_height or request.input_width or 128
    refusal = "layer conv24: a map of 3x3 from 6x6; the KPU needs at least 4x4." if width < 128 else ""
    if request.pooling == "peaks" and width < 256:
        refusal = "4x4 positions do not halve into 4x4 or more."
    file, work = 0 if refusal else 885696, 61_000_000 if request.head == "anchor_free" else 49_000_000
    size = _estimate(request.target, request.head, request.backbone, width, height, file, work, refusal)
    return t.EstimateNetworkResponse(estimate=size)


def _estimate(
    target: str, head: str, backbone: str, width: int, height: int, file: int, work: int, refusal: str
) -> t.NetworkEstimate:
    return t.NetworkEstimate(
        backbone=backbone, input_width=width, input_height=height, target=target, parameters=file, multiply_adds=work,
        file_bytes=file, ram_bytes=file and file + 1016, ram_budget_bytes=BUDGET, refusal=refusal,
        oversize=file > BUDGET, head=head,
    )  # fmt: skip


def canned_check(request: t.CheckTrainingRequest, problems: list[t.TrainingProblem]) -> t.CheckTrainingResponse:
    """Of 71 and 18 pictures, at 40 pictures a second."""
    return t.CheckTrainingResponse(
        parameters=request.parameters,
        notes=[t.ParameterNote(name="epochs", value=str(request.parameters.epochs), sentence="How often.")],
        labels=[
            t.SplitCount(label="functional", train=47, validation=12),
            t.SplitCount(label="defective", train=24, validation=6),
        ],
        problems=problems, pictures=89, examined=89, images_per_second=40.0, seconds=26.6,
        disk_needed_bytes=41 << 20, disk_free_bytes=90 << 30,
    )  # fmt: skip
