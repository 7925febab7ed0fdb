"""What a network will take on a chip, before it is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.gateway.context import Here
from services.gateway.rest.shapes import LabelName, Public
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["jobs"])

Labels = Annotated[list[LabelName], Query(alias="label", min_length=1, max_length=100, description="once for each")]
Name = Annotated[str, Query(max_length=64)]
Task = Annotated[
    Literal["", "classification", "detection"], Query(description='"" = that of the head, else "classification"')
]
Head = Annotated[
    Literal["", "classifier", "yolo2", "anchor_free"],
    Query(description='"" = classifier, or yolo2 by the task'),
]


class NetworkEstimate(Public):
    """One combination of backbone, head and input for a target."""

    backbone: str
    input_width: int = Field(description="pixels")
    input_height: int
    target: str
    parameters: int = Field(description="weights and biases")
    multiply_adds: int = Field(description="of one image")
    file_bytes: int = Field(description="of the converted file; 0 = not known")
    ram_bytes: int = Field(description="on the board: file and working memory")
    ram_budget_bytes: int = Field(description="of the firmware with the most; 0 = not known")
    refusal: str = Field(description='why such a network cannot be converted; "" = it can')
    layer: str = Field(description="the layer that the refusal is about")
    oversize: bool = Field(description="refused for its size alone: allow_oversize converts it all the same")
    unknown: str = Field(description='why the size is not known; "" = it is')
    head: str = Field(description='what it is estimated with: "classifier", "yolo2", "anchor_free"')


class NetworkProposal(Public):
    """An estimate with its place among the others."""

    estimate: NetworkEstimate
    relative_speed: float = Field(description="multiply-adds of the recommended one by its own")
    recommended: bool
    reason: str
    why: str = Field(description="a sentence")


@router.get("/networks", summary="Networks for a target and a head, the best first, with their sizes")
async def propose_networks(
    context: Here,
    labels: Labels,
    target: Name = "",
    task: Task = "",
    head: Head = "",
    pictures: Annotated[int, Query(ge=0, lt=2**31, description="to train on; 0 = not known")] = 0,
) -> list[NetworkProposal]:
    request = pb.ProposeNetworksRequest(target=target, labels=labels, task=task, head=head, pictures=pictures)
    return NetworkProposal.all_of((await ask(context.upstream.training.ProposeNetworks(request))).proposals)


@router.get("/networks/estimate", summary="The size of one network with its head, before any training")
async def estimate_network(
    context: Here,
    labels: Labels,
    target: Name = "",
    task: Task = "",
    head: Head = "",
    backbone: Name = "",
    input_width: Annotated[int, Query(ge=0, le=320, description="pixels; 0 = 128")] = 0,
    input_height: Annotated[int, Query(ge=0, le=320, description="0 = input_width")] = 0,
    pooling: Annotated[
        Literal["", "average", "peaks"], Query(description='of a classifier\'s last map; "" = average')
    ] = "",
) -> NetworkEstimate:
    request = pb.EstimateNetworkRequest(
        target=target,
        labels=labels,
        task=task,
        head=head,
        backbone=backbone,
        input_width=input_width,
        input_height=input_height,
        pooling=pooling,
    )
    return NetworkEstimate.of((await ask(context.upstream.training.EstimateNetwork(request))).estimate)
