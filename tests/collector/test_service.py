"""The collector through its gRPC services, on both stores."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.common.objects import DirectoryStore, ObjectStore
from services.common.rpc import open_channel
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as grpc_pb
from tests.collector.boards import make_jpeg
from tests.servers import free_port


class Client:
    def __init__(self, channel: grpc.Channel) -> None:
        self.projects = grpc_pb.ProjectServiceStub(channel)
        self.captures = grpc_pb.CaptureServiceStub(channel)
        self.datasets = grpc_pb.DatasetServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    def project(self, *labels: str) -> str:
        return self.projects.CreateProject(pb.CreateProjectRequest(name="cells", labels=labels)).project.id

    def upload(self, project_id: str, label: str, jpeg: bytes) -> pb.UploadCaptureResponse:
        return self.captures.UploadCapture(pb.UploadCaptureRequest(project_id=project_id, label=label, jpeg=jpeg))


@pytest.fixture
def client(
    any_store: ObjectStore, request: pytest.FixtureRequest, tmp_path: Path, service_key: str
) -> Iterator[Client]:
    """No broker is there: what people do does not need one."""
    settings = CollectorSettings(
        data_dir=tmp_path,
        service_key=service_key,
        grpc_address="127.0.0.1:0",
        mqtt_url=f"mqtt://127.0.0.1:{free_port()}",
        object_store_url="" if isinstance(any_store, DirectoryStore) else request.getfixturevalue("s3_url"),
    )
    collector = Collector(settings)
    with open_channel(f"127.0.0.1:{collector.start()}", service_key) as channel:
        yield Client(channel)
    collector.stop()


def test_from_uploads_to_a_version(client: Client) -> None:
    project = client.project("a", "b")
    jpegs = {make_jpeg(seed): "ab"[seed % 2] for seed in range(12)}
    for jpeg, label in jpegs.items():
        assert not client.upload(project, label, jpeg).duplicate
    request = pb.CreateVersionRequest(project_id=project, seed=1, validation_share=0.25)
    version = client.datasets.CreateVersion(request).version
    items = list(client.datasets.StreamVersion(pb.StreamVersionRequest(version_id=version.id)))
    assert {item.jpeg: item.label for item in items} == jpegs
    assert client.datasets.GetVersion(pb.GetVersionRequest(version_id=version.id)).version == version
    listed = client.datasets.ListVersions(pb.ListVersionsRequest(project_id=project)).versions
    assert list(listed) == [version]


def test_an_upload_of_the_same_picture_is_a_duplicate(client: Client) -> None:
    project, jpeg = client.project("a", "b"), make_jpeg(1)
    first = client.upload(project, "a", jpeg)
    assert client.upload(project, "a", jpeg) == pb.UploadCaptureResponse(capture=first.capture, duplicate=True)
    assert client.upload(project, "b", jpeg).capture.id != first.capture.id
    assert client.captures.CountCaptures(pb.CountCapturesRequest(project_id=project)).total == 2


def test_pictures_come_back_whole_and_small(client: Client) -> None:
    jpeg = make_jpeg(2, 200, 100)
    capture = client.upload(client.project(), "", jpeg).capture
    assert (capture.width, capture.height, capture.size_bytes) == (200, 100, len(jpeg))
    assert client.captures.GetCapture(pb.GetCaptureRequest(capture_id=capture.id)).capture == capture
    assert client.captures.GetImage(pb.GetImageRequest(capture_id=capture.id)).jpeg == jpeg
    small = client.captures.GetImage(pb.GetImageRequest(capture_id=capture.id, thumbnail_size=50)).jpeg
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (50, 25)


def test_labels_deletion_and_pages(client: Client) -> None:
    project = client.project("a")
    ids = [client.upload(project, "", make_jpeg(seed)).capture.id for seed in range(3)]
    assert client.captures.SetLabel(pb.SetLabelRequest(capture_ids=ids, label="a")).changed == 3
    assert client.captures.DeleteCaptures(pb.DeleteCapturesRequest(capture_ids=ids[:1])).deleted == 1
    request = pb.ListCapturesRequest(filter=pb.CaptureFilter(project_id=project, label="a"))
    assert {capture.id for capture in client.captures.ListCaptures(request).captures} == set(ids[1:])
    with pytest.raises(NotFound):
        client.captures.GetImage(pb.GetImageRequest(capture_id=ids[0]))


def test_what_is_wrong_is_said(client: Client) -> None:
    project = client.project("a")
    for label, jpeg, reason in (
        ("a", b"hello", "NOT_JPEG"),
        ("b", make_jpeg(1), "UNKNOWN_LABEL"),
        ("a", bytes(17 * 1024 * 1024), "TOO_LARGE"),
    ):
        with pytest.raises(InvalidInput) as refused:
            client.upload(project, label, jpeg)
        assert refused.value.reason == reason
        assert refused.value.fix
    with pytest.raises(NotFound, match="no project"):
        client.upload("0" * 12, "", make_jpeg(1))
    with pytest.raises(FailedPrecondition, match="'a' has 0"):
        client.datasets.CreateVersion(pb.CreateVersionRequest(project_id=project, seed=1, validation_share=0.5))


def test_projects_are_listed_and_changed(client: Client) -> None:
    project = client.project("a")
    changed = client.projects.SetLabels(pb.SetLabelsRequest(project_id=project, labels=["b"])).project
    assert list(client.projects.ListProjects(pb.ListProjectsRequest()).projects) == [changed]
    assert client.projects.GetProject(pb.GetProjectRequest(project_id=project)).project == changed


def test_every_service_is_healthy(client: Client) -> None:
    for name in ("ProjectService", "CaptureService", "DatasetService"):
        request = health_pb2.HealthCheckRequest(service=f"boardloop.collector.v1.{name}")
        assert client.health.Check(request, timeout=5).status == health_pb2.HealthCheckResponse.SERVING


def test_boxes_go_in_and_come_out_of_a_version(client: Client) -> None:
    project, box = client.project("cat"), pb.Box(label="cat", x=0.1, y=0.2, width=0.3, height=0.4)
    for seed, boxes in ((1, [box]), (2, []), (3, None)):
        request = pb.UploadCaptureRequest(project_id=project, jpeg=make_jpeg(seed), boxes=boxes, boxed=seed < 3)
        last = client.captures.UploadCapture(request).capture
    assert client.captures.SetBoxes(pb.SetBoxesRequest(capture_id=last.id, boxes=[box])).capture.boxes == [box]
    with pytest.raises(InvalidInput, match="unboxed"):
        client.captures.SetBoxes(pb.SetBoxesRequest(capture_id=last.id, boxes=[box], unboxed=True))
    request = pb.CreateVersionRequest(project_id=project, seed=1, validation_share=0.5, task=pb.TASK_DETECTION)
    version = client.datasets.CreateVersion(request).version
    items = list(client.datasets.StreamVersion(pb.StreamVersionRequest(version_id=version.id)))
    assert sorted([list(item.boxes) for item in items], key=len) == [[], [box], [box]]
    assert (version.background_count, version.label_counts[0].count) == (1, 2)
