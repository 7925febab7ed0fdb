"""The deployer behind the gateway, with canned answers."""

from __future__ import annotations

import io
from typing import Any

import segno

from services.common.errors import InvalidInput, NotFound
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as d
from services.rpc.boardloop.deployer.v1 import deployer_pb2_grpc as dg
from tests.gateway.canned_facts import BOARDS, RELEASE, TARGET, stamp


class Deployer(dg.BoardServiceServicer, dg.ReleaseServiceServicer):
    """Boards and releases in memory."""

    def __init__(self) -> None:
        self.boards: dict[str, d.Board] = {}
        self.releases: dict[str, d.Release] = {}
        self.results: list[d.Result] = []
        self.signature = b""

    def fill(self, project: str) -> None:
        """Two boards, one downloading, with results."""
        for board, name in zip(BOARDS, ("line 1", "line 2"), strict=True):
            self.boards[board] = d.Board(
                id=board, project_id=project, name=name, board_type="k210", state=d.BOARD_STATE_ONLINE,
                hardware="0f" * 8, firmware="maixpy 0.6.2", last_seen_at=stamp(3), created_at=stamp(4000),
            )  # fmt: skip
        first, second = self.boards.values()
        first.release_id, first.update_state = RELEASE, d.UPDATE_STATE_COMMITTED
        second.desired_release_id, second.update_state = RELEASE, d.UPDATE_STATE_DOWNLOADING
        second.update_progress, second.outbox, second.rejected = 0.62, 7, 1
        self.releases[RELEASE] = d.Release(
            id=RELEASE, project_id=project, model_id="0000000000a1", target=TARGET, name="solar-cells-1", counter=3,
            state=d.RELEASE_STATE_ROLLING_OUT, payload_bytes=968_736, created_at=stamp(120),
            boards=[
                d.BoardUpdate(board_id=BOARDS[0], state=d.UPDATE_STATE_COMMITTED),
                d.BoardUpdate(board_id=BOARDS[1], state=d.UPDATE_STATE_DOWNLOADING),
            ],
        )  # fmt: skip
        for index in range(8):
            self.results.append(
                d.Result(
                    board_id=BOARDS[0], release_id=RELEASE, logits=[2.5, -0.1], top=int(index % 3 == 1),
                    score=0.98 - index * 0.05, frame="0123456789abcdef", milliseconds=41, received_at=stamp(index * 9),
                )
            )  # fmt: skip

    def CreatePairing(self, request: d.CreatePairingRequest, context: Any) -> d.CreatePairingResponse:
        if not request.name:
            raise InvalidInput("BAD_NAME", "name is empty.", fix="Give the board a name.", field="name")
        identity = request.board_id or f"newboard{22 + len(self.boards)}"
        board = d.Board(
            id=identity, project_id=request.project_id, name=request.name, board_type=request.board_type,
            state=d.BOARD_STATE_PAIRING, created_at=stamp(),
        )  # fmt: skip
        self.boards[identity] = board
        code = f"BL1:{request.host or '192.168.1.20'}:{identity}:ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return d.CreatePairingResponse(board=board, code=code, qr_png=qr(code), expires_at=stamp(-600))

    def CreateWifiCode(self, request: d.CreateWifiCodeRequest, context: Any) -> d.CreateWifiCodeResponse:
        code = f"WIFI:T:WPA;S:{request.ssid};P:{request.password};;"
        return d.CreateWifiCodeResponse(code=code, qr_png=qr(code))

    def GetBoard(self, request: d.GetBoardRequest, context: Any) -> d.GetBoardResponse:
        if request.board_id not in self.boards:
            raise NotFound("UNKNOWN_BOARD", f"There is no board {request.board_id}.", fix="List the boards.")
        return d.GetBoardResponse(board=self.boards[request.board_id])

    def ListBoards(self, request: d.ListBoardsRequest, context: Any) -> d.ListBoardsResponse:
        return d.ListBoardsResponse(boards=[b for b in self.boards.values() if b.project_id == request.project_id])

    def RevokeBoard(self, request: d.RevokeBoardRequest, context: Any) -> d.RevokeBoardResponse:
        board = self.GetBoard(d.GetBoardRequest(board_id=request.board_id), context).board
        board.state = self.boards[board.id].state = d.BOARD_STATE_REVOKED
        return d.RevokeBoardResponse(board=board)

    def ListResults(self, request: d.ListResultsRequest, context: Any) -> d.ListResultsResponse:
        wanted = [one for one in self.results if request.board_id in ("", one.board_id)]
        return d.ListResultsResponse(results=wanted[: request.limit or 100])

    def CreateRelease(self, request: d.CreateReleaseRequest, context: Any) -> d.CreateReleaseResponse:
        boards = list(request.board_ids) or list(self.boards)
        release = d.Release(
            id=f"{len(self.releases):032x}", project_id=request.project_id, model_id=request.model_id,
            name=request.name, target=request.target or TARGET,
            counter=len(self.releases) + 3, payload_bytes=968_736,
            created_at=stamp(), state=d.RELEASE_STATE_AWAITING_SIGNATURE,
            boards=[d.BoardUpdate(board_id=board, state=d.UPDATE_STATE_WAITING) for board in boards],
        )  # fmt: skip
        self.releases[release.id] = release
        return d.CreateReleaseResponse(release=release)

    def GetRelease(self, request: d.GetReleaseRequest, context: Any) -> d.GetReleaseResponse:
        if request.release_id not in self.releases:
            raise NotFound("UNKNOWN_RELEASE", f"There is no release {request.release_id}.")
        return d.GetReleaseResponse(release=self.releases[request.release_id])

    def ListReleases(self, request: d.ListReleasesRequest, context: Any) -> d.ListReleasesResponse:
        mine = [one for one in reversed(self.releases.values()) if one.project_id == request.project_id]
        return d.ListReleasesResponse(releases=mine)

    def SubmitSignature(self, request: d.SubmitSignatureRequest, context: Any) -> d.SubmitSignatureResponse:
        self.signature = request.signature
        release = self.releases[request.release_id]
        release.state = d.RELEASE_STATE_ROLLING_OUT
        return d.SubmitSignatureResponse(release=release)

    def GetManifest(self, request: d.GetManifestRequest, context: Any) -> d.GetManifestResponse:
        return d.GetManifestResponse(manifest=b'{"release": "' + request.release_id.encode() + b'"}')


def qr(text: str) -> bytes:
    """A real QR code."""
    out = io.BytesIO()
    segno.make(text, error="l").save(out, kind="png", scale=8, border=4)
    return out.getvalue()
