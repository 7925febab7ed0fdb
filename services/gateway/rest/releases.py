"""Releases: a signed, encrypted model on its way to boards."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AwareDatetime, Base64Bytes, BaseModel, Field

from services.gateway.context import Here
from services.gateway.rest.boards import UpdateState
from services.gateway.rest.shapes import Id, Many, Public, Responses, Time, enum_words
from services.gateway.upstream import ask
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["releases"])

MANIFEST: Responses = {200: {"content": {"application/json": {}}, "description": "The exact bytes that are signed"}}
ReleaseState = Annotated[
    Literal["NONE", "AWAITING_SIGNATURE", "ROLLING_OUT", "DONE"], enum_words(pb.ReleaseState, "RELEASE_STATE_")
]


class BoardUpdate(Public):
    """How far one board is."""

    board_id: str
    state: UpdateState
    reason: str


class ReleasePublic(Public):
    """A release."""

    id: str
    project_id: str
    model_id: str
    target: str
    name: str
    counter: int = Field(description="security counter: boards refuse a lower one")
    state: ReleaseState
    payload_bytes: int
    boards: Many[BoardUpdate]
    created_at: Time


class ReleaseCreate(BaseModel):
    """Which model goes to which boards."""

    model_id: Id
    target: str = Field(default="", max_length=64, description='"" = "k210-kmodel-v3"')
    name: str = Field(default="", max_length=64)
    board_ids: list[Id] = Field(default=[], description="empty: every board of the target's type")
    expires_at: AwareDatetime | None = Field(default=None, description="null: never")


class SignatureUpdate(BaseModel):
    """384 bytes, RSASSA-PKCS1-v1_5 with SHA-256 over the manifest, as base64."""

    signature: Base64Bytes


@router.post("/projects/{project_id}/releases", status_code=201, summary="Release a model to boards")
async def create_release(project_id: Id, body: ReleaseCreate, context: Here) -> ReleasePublic:
    request = pb.CreateReleaseRequest(
        project_id=project_id, model_id=body.model_id, target=body.target, name=body.name, board_ids=body.board_ids
    )
    if body.expires_at is not None:
        request.expires_at.CopyFrom(Timestamp(seconds=int(body.expires_at.timestamp())))
    return ReleasePublic.of((await ask(context.upstream.releases.CreateRelease(request))).release)


@router.get("/projects/{project_id}/releases", summary="Releases of a project")
async def list_releases(project_id: Id, context: Here) -> list[ReleasePublic]:
    request = pb.ListReleasesRequest(project_id=project_id)
    return ReleasePublic.all_of((await ask(context.upstream.releases.ListReleases(request))).releases)


@router.get("/releases/{release_id}", summary="One release with its boards")
async def get_release(release_id: Id, context: Here) -> ReleasePublic:
    request = pb.GetReleaseRequest(release_id=release_id)
    return ReleasePublic.of((await ask(context.upstream.releases.GetRelease(request))).release)


@router.get(
    "/releases/{release_id}/manifest", summary="The manifest to sign", responses=MANIFEST, response_class=Response
)
async def manifest(release_id: Id, context: Here) -> Response:
    answer = await ask(context.upstream.releases.GetManifest(pb.GetManifestRequest(release_id=release_id)))
    return Response(answer.manifest, media_type="application/json")


@router.put("/releases/{release_id}/signature", summary="Deliver a signature made away from the server")
async def submit_signature(release_id: Id, body: SignatureUpdate, context: Here) -> ReleasePublic:
    request = pb.SubmitSignatureRequest(release_id=release_id, signature=body.signature)
    return ReleasePublic.of((await ask(context.upstream.releases.SubmitSignature(request))).release)
