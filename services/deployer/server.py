"""The gRPC services of boardloop.deployer.v1: each method hands over to the room that does the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import grpc

from services.common.errors import FailedPrecondition
from services.common.rpc import RpcServer, from_timestamp, to_timestamp
from services.deployer.pairing import Pairings
from services.deployer.qr import qr_png, wifi_code
from services.deployer.releases import DEFAULT_TARGET, Releases
from services.deployer.results import Results
from services.deployer.settings import DeployerSettings
from services.deployer.wire import Wire, result_message
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from services.rpc.boardloop.deployer.v1 import deployer_pb2_grpc as grpc_pb

__all__ = ["Rooms", "add_services"]

Context = grpc.ServicerContext

DEFAULT_BOARD_TYPE = "k210"
MQTT_PORT = 1883


@dataclass(frozen=True)
class Rooms:
    """What the servicers hand over to. `accounts_changed` and `revoke` also act on the broker."""

    settings: DeployerSettings
    pairings: Pairings
    releases: Releases
    results: Results
    wire: Wire
    accounts_changed: Callable[[str], None]
    revoke: Callable[[str], None]


class BoardService(grpc_pb.BoardServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def CreatePairing(self, request: pb.CreatePairingRequest, context: Context) -> pb.CreatePairingResponse:
        host, port = self._broker(request)
        if request.board_id:
            opened = self._rooms.pairings.reopen(request.board_id, host, port)
        else:
            board_type = request.board_type or DEFAULT_BOARD_TYPE
            opened = self._rooms.pairings.open(request.project_id, request.name, board_type, host, port)
        self._rooms.accounts_changed(opened.board_id)
        return pb.CreatePairingResponse(
            board=self._rooms.wire.board(opened.board_id),
            code=opened.text,
            qr_png=qr_png(opened.text),
            expires_at=to_timestamp(opened.expires_at),
        )

    def CreateWifiCode(self, request: pb.CreateWifiCodeRequest, context: Context) -> pb.CreateWifiCodeResponse:
        code = wifi_code(request.ssid, request.password)
        return pb.CreateWifiCodeResponse(code=code, qr_png=qr_png(code))

    def GetBoard(self, request: pb.GetBoardRequest, context: Context) -> pb.GetBoardResponse:
        return pb.GetBoardResponse(board=self._rooms.wire.board(request.board_id))

    def ListBoards(self, request: pb.ListBoardsRequest, context: Context) -> pb.ListBoardsResponse:
        return pb.ListBoardsResponse(boards=self._rooms.wire.boards(request.project_id))

    def RevokeBoard(self, request: pb.RevokeBoardRequest, context: Context) -> pb.RevokeBoardResponse:
        self._rooms.revoke(request.board_id)
        return pb.RevokeBoardResponse(board=self._rooms.wire.board(request.board_id))

    def ListResults(self, request: pb.ListResultsRequest, context: Context) -> pb.ListResultsResponse:
        rows = self._rooms.results.newest(request.project_id, request.board_id, request.limit)
        return pb.ListResultsResponse(results=[result_message(row) for row in rows])

    def _broker(self, request: pb.CreatePairingRequest) -> tuple[str, int]:
        """Where the board shall find the broker: as asked, else as configured."""
        settings = self._rooms.settings
        host = request.host or settings.board_host
        if not host:
            message = "The server does not know which address boards reach the broker at."
            raise FailedPrecondition("NO_BOARD_HOST", message, fix="Set BOARDLOOP_BOARD_HOST or give a host.")
        return host, request.port or settings.board_port or urlsplit(settings.mqtt_url).port or MQTT_PORT


class ReleaseService(grpc_pb.ReleaseServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._releases = rooms.releases
        self._wire = rooms.wire

    def CreateRelease(self, request: pb.CreateReleaseRequest, context: Context) -> pb.CreateReleaseResponse:
        release_id = self._releases.create(
            request.project_id,
            request.model_id,
            request.target or DEFAULT_TARGET,
            request.name,
            list(request.board_ids),
            from_timestamp(request.expires_at) if request.HasField("expires_at") else None,
        )
        return pb.CreateReleaseResponse(release=self._wire.release(release_id))

    def GetRelease(self, request: pb.GetReleaseRequest, context: Context) -> pb.GetReleaseResponse:
        return pb.GetReleaseResponse(release=self._wire.release(request.release_id))

    def ListReleases(self, request: pb.ListReleasesRequest, context: Context) -> pb.ListReleasesResponse:
        return pb.ListReleasesResponse(releases=self._wire.releases(request.project_id))

    def SubmitSignature(self, request: pb.SubmitSignatureRequest, context: Context) -> pb.SubmitSignatureResponse:
        self._releases.submit(request.release_id, request.signature)
        return pb.SubmitSignatureResponse(release=self._wire.release(request.release_id))

    def GetManifest(self, request: pb.GetManifestRequest, context: Context) -> pb.GetManifestResponse:
        return pb.GetManifestResponse(manifest=self._releases.manifest(request.release_id))


def add_services(server: RpcServer, rooms: Rooms) -> None:
    """Puts both services on the server."""
    names = pb.DESCRIPTOR.services_by_name
    server.add(grpc_pb.add_BoardServiceServicer_to_server, BoardService(rooms), names["BoardService"].full_name)
    server.add(grpc_pb.add_ReleaseServiceServicer_to_server, ReleaseService(rooms), names["ReleaseService"].full_name)
