"""The gRPC services of boardloop.collector.v1: each method hands over to the room that does the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from services.collector.browse import Browser
from services.collector.captures import Captures
from services.collector.datasets import Datasets
from services.collector.projects import Projects
from services.collector.settings import CollectorSettings
from services.collector.thumbnails import Thumbnails
from services.collector.uploads import upload
from services.common.errors import InvalidInput
from services.common.objects import ObjectStore
from services.common.rpc import RpcServer
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as grpc_pb

__all__ = ["Rooms", "add_services"]

Context = grpc.ServicerContext


@dataclass(frozen=True)
class Rooms:
    """What the servicers hand over to."""

    settings: CollectorSettings
    store: ObjectStore
    projects: Projects
    captures: Captures
    browser: Browser
    datasets: Datasets
    thumbnails: Thumbnails


class ProjectService(grpc_pb.ProjectServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._projects = rooms.projects

    def CreateProject(self, request: pb.CreateProjectRequest, context: Context) -> pb.CreateProjectResponse:
        return pb.CreateProjectResponse(project=self._projects.create(request.name, request.labels))

    def GetProject(self, request: pb.GetProjectRequest, context: Context) -> pb.GetProjectResponse:
        return pb.GetProjectResponse(project=self._projects.get(request.project_id))

    def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        return pb.ListProjectsResponse(projects=self._projects.list())

    def SetLabels(self, request: pb.SetLabelsRequest, context: Context) -> pb.SetLabelsResponse:
        return pb.SetLabelsResponse(project=self._projects.set_labels(request.project_id, request.labels))


class CaptureService(grpc_pb.CaptureServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def UploadCapture(self, request: pb.UploadCaptureRequest, context: Context) -> pb.UploadCaptureResponse:
        return upload(self._rooms.captures, self._rooms.settings, request)

    def GetCapture(self, request: pb.GetCaptureRequest, context: Context) -> pb.GetCaptureResponse:
        return pb.GetCaptureResponse(capture=self._rooms.captures.get(request.capture_id))

    def ListCaptures(self, request: pb.ListCapturesRequest, context: Context) -> pb.ListCapturesResponse:
        return self._rooms.browser.page(request)

    def CountCaptures(self, request: pb.CountCapturesRequest, context: Context) -> pb.CountCapturesResponse:
        return self._rooms.browser.count(request.project_id)

    def GetImage(self, request: pb.GetImageRequest, context: Context) -> pb.GetImageResponse:
        key = self._rooms.captures.object_of(request.capture_id)
        if not request.thumbnail_size:
            return pb.GetImageResponse(jpeg=self._rooms.store.get(key))
        made = self._rooms.thumbnails.get(key, request.thumbnail_size, lambda: self._rooms.store.get(key))
        return pb.GetImageResponse(jpeg=made)

    def SetLabel(self, request: pb.SetLabelRequest, context: Context) -> pb.SetLabelResponse:
        return pb.SetLabelResponse(changed=self._rooms.captures.set_label(request.capture_ids, request.label))

    def SetBoxes(self, request: pb.SetBoxesRequest, context: Context) -> pb.SetBoxesResponse:
        if request.unboxed and request.boxes:
            raise InvalidInput(
                "BAD_BOX", "unboxed is set and there are boxes", fix="Send boxes to keep them, or unboxed without any."
            )
        boxes = None if request.unboxed else request.boxes
        return pb.SetBoxesResponse(capture=self._rooms.captures.set_boxes(request.capture_id, boxes))

    def DeleteCaptures(self, request: pb.DeleteCapturesRequest, context: Context) -> pb.DeleteCapturesResponse:
        return pb.DeleteCapturesResponse(deleted=self._rooms.captures.delete(request.capture_ids))


class DatasetService(grpc_pb.DatasetServiceServicer):
    def __init__(self, rooms: Rooms) -> None:
        self._datasets = rooms.datasets

    def CreateVersion(self, request: pb.CreateVersionRequest, context: Context) -> pb.CreateVersionResponse:
        task = request.task or pb.TASK_CLASSIFICATION
        version = self._datasets.create(request.project_id, request.seed, request.validation_share, task)
        return pb.CreateVersionResponse(version=version)

    def GetVersion(self, request: pb.GetVersionRequest, context: Context) -> pb.GetVersionResponse:
        return pb.GetVersionResponse(version=self._datasets.get(request.version_id))

    def ListVersions(self, request: pb.ListVersionsRequest, context: Context) -> pb.ListVersionsResponse:
        return pb.ListVersionsResponse(versions=self._datasets.list(request.project_id))

    def StreamVersion(self, request: pb.StreamVersionRequest, context: Context) -> Iterator[pb.StreamVersionResponse]:
        yield from self._datasets.stream(request.version_id, request.damaged_too)


def add_services(server: RpcServer, rooms: Rooms) -> None:
    """Puts the three services on the server."""
    services = pb.DESCRIPTOR.services_by_name
    server.add(
        grpc_pb.add_ProjectServiceServicer_to_server, ProjectService(rooms), services["ProjectService"].full_name
    )
    server.add(
        grpc_pb.add_CaptureServiceServicer_to_server, CaptureService(rooms), services["CaptureService"].full_name
    )
    server.add(
        grpc_pb.add_DatasetServiceServicer_to_server, DatasetService(rooms), services["DatasetService"].full_name
    )
