"""Boards: pairing with QR codes, state, revocation, results."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.gateway.context import Context, Here
from services.gateway.qr import data_url
from services.gateway.rest.shapes import Id, Many, Public, Responses, Time, enum_words
from services.gateway.upstream import ask
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb

__all__ = ["UpdateState", "router"]

router = APIRouter(prefix="/v1", tags=["boards"])

PNG: Responses = {200: {"content": {"image/png": {}}, "description": "The code as a picture"}}
BoardState = Annotated[
    Literal["NONE", "PAIRING", "ONLINE", "OFFLINE", "REVOKED"], enum_words(pb.BoardState, "BOARD_STATE_")
]
UpdateState = Annotated[
    Literal["NONE", "WAITING", "DOWNLOADING", "VERIFYING", "TRYING", "COMMITTED", "FAILED"],
    enum_words(pb.UpdateState, "UPDATE_STATE_"),
]


class BoardPublic(Public):
    """A board as it last reported itself."""

    id: str
    project_id: str
    name: str
    board_type: str
    state: BoardState
    hardware: str
    firmware: str
    release_id: str = Field(description="committed on the board")
    desired_release_id: str
    update_state: UpdateState
    update_reason: str
    update_progress: float = Field(description="0 to 1, share of the bundle's bytes asked for")
    outbox: int = Field(description="captures waiting on the board")
    rejected: int = Field(description="captures put aside on the board")
    last_seen_at: Time
    created_at: Time


class PairingTarget(BaseModel):
    """The address the board shall reach; left out: the server's own setting."""

    host: str = Field(default="", max_length=64)
    port: int = Field(default=0, ge=0, le=65535)


class PairingCreate(PairingTarget):
    """A new board."""

    name: str = Field(min_length=1, max_length=64, examples=["line 1"])
    board_type: str = Field(default="k210", max_length=32)


class CodePublic(BaseModel):
    """A code and its picture. It is a secret: the picture's address is unguessable and gone after ten minutes."""

    code: str
    qr_data_url: str = Field(description="data:image/png;base64,…")
    qr_url: str = Field(description="the same picture at an address of its own")


class PairingPublic(CodePublic):
    """Show it to the board's camera before it expires."""

    board: BoardPublic
    expires_at: Time


class WifiCodeCreate(BaseModel):
    """A network; an empty password means an open one."""

    ssid: str = Field(min_length=1, max_length=32)
    password: str = Field(default="", max_length=63, json_schema_extra={"format": "password"})


class ResultPublic(Public):
    """What a board saw in one frame."""

    board_id: str
    release_id: str
    logits: Many[float]
    top: int = Field(description="index of the best label")
    score: float = Field(description="softmax of the best")
    frame: str = Field(description="16 hex characters: SHA-256 of the network input, shortened")
    milliseconds: int
    received_at: Time


class ResultFilter(BaseModel):
    """Query parameters of the results."""

    board_id: str = ""
    limit: int = Field(default=100, ge=1, le=1000)


@router.get("/projects/{project_id}/boards", summary="Boards of a project")
async def list_boards(project_id: Id, context: Here) -> list[BoardPublic]:
    request = pb.ListBoardsRequest(project_id=project_id)
    return BoardPublic.all_of((await ask(context.upstream.boards.ListBoards(request))).boards)


@router.post("/projects/{project_id}/boards", status_code=201, summary="Add a board and get its pairing code")
async def create_board(project_id: Id, body: PairingCreate, context: Here) -> PairingPublic:
    return await _pair(context, pb.CreatePairingRequest(project_id=project_id, **body.model_dump()))


@router.get("/boards/{board_id}", summary="One board")
async def get_board(board_id: Id, context: Here) -> BoardPublic:
    return BoardPublic.of((await ask(context.upstream.boards.GetBoard(pb.GetBoardRequest(board_id=board_id)))).board)


@router.post("/boards/{board_id}/pairing", status_code=201, summary="A new pairing code for a known board")
async def pair_again(board_id: Id, body: PairingTarget, context: Here) -> PairingPublic:
    board = (await ask(context.upstream.boards.GetBoard(pb.GetBoardRequest(board_id=board_id)))).board
    request = pb.CreatePairingRequest(
        project_id=board.project_id,
        name=board.name,
        board_type=board.board_type,
        board_id=board_id,
        host=body.host,
        port=body.port,
    )
    return await _pair(context, request)


@router.post("/boards/{board_id}/revoke", summary="End a board's login and keys at once")
async def revoke_board(board_id: Id, context: Here) -> BoardPublic:
    request = pb.RevokeBoardRequest(board_id=board_id)
    return BoardPublic.of((await ask(context.upstream.boards.RevokeBoard(request))).board)


@router.post("/wifi-codes", status_code=201, summary="A WiFi code for a board's camera")
async def create_wifi_code(body: WifiCodeCreate, context: Here) -> CodePublic:
    request = pb.CreateWifiCodeRequest(ssid=body.ssid, password=body.password)
    answer = await ask(context.upstream.boards.CreateWifiCode(request))
    return CodePublic(code=answer.code, qr_data_url=data_url(answer.qr_png), qr_url=_shelve(context, answer.qr_png))


@router.get("/qr/{key}.png", summary="A code's picture", responses=PNG, response_class=Response)
async def qr_picture(key: str, context: Here) -> Response:
    return Response(context.qr.get(key), media_type="image/png", headers={"Cache-Control": "no-store"})


@router.get("/projects/{project_id}/results", summary="What boards saw, newest first")
async def list_results(project_id: Id, query: Annotated[ResultFilter, Query()], context: Here) -> list[ResultPublic]:
    request = pb.ListResultsRequest(project_id=project_id, board_id=query.board_id, limit=query.limit)
    return ResultPublic.all_of((await ask(context.upstream.boards.ListResults(request))).results)


async def _pair(context: Context, request: pb.CreatePairingRequest) -> PairingPublic:
    answer = await ask(context.upstream.boards.CreatePairing(request))
    return PairingPublic(
        code=answer.code,
        qr_data_url=data_url(answer.qr_png),
        qr_url=_shelve(context, answer.qr_png),
        board=BoardPublic.of(answer.board),
        expires_at=answer.expires_at,  # its validator reads protobuf's Timestamp
    )


def _shelve(context: Context, png: bytes) -> str:
    return f"/api/v1/qr/{context.qr.put(png)}.png"
