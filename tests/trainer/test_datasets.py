"""The client of the collector against a server that answers as told, wrongly too."""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from services.common.errors import InvalidInput, StorageFull, Unavailable
from services.common.rpc import RpcServer, open_channel
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc
from services.trainer.datasets import Datasets
from services.trainer.pictures import read_items, read_labels

VERSION = pb.DatasetVersion(id="v", labels=["zebra", "ant"], train_count=2, validation_count=2)


class Collector(collector_pb2_grpc.DatasetServiceServicer):
    """Answers with `pictures`; counts the streams it was asked for."""

    def __init__(self, pictures: list[pb.StreamVersionResponse]) -> None:
        self.pictures = pictures
        self.streams = 0

    def GetVersion(self, request: pb.GetVersionRequest, context: grpc.ServicerContext) -> pb.GetVersionResponse:
        return pb.GetVersionResponse(version=VERSION)

    def StreamVersion(
        self, request: pb.StreamVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamVersionResponse]:
        self.streams += 1
        yield from self.pictures


def picture(index: int) -> pb.StreamVersionResponse:
    jpeg = b"picture %d" % index
    return pb.StreamVersionResponse(
        capture_id=f"{index:032x}",
        label=("ant", "zebra")[index % 2],
        split=pb.SPLIT_TRAIN if index < 2 else pb.SPLIT_VALIDATION,
        sha256=hashlib.sha256(jpeg).hexdigest(),
        jpeg=jpeg,
    )


@pytest.fixture
def collector() -> Collector:
    return Collector([picture(index) for index in range(4)])


@pytest.fixture
def datasets(collector: Collector) -> Iterator[Datasets]:
    key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    server = RpcServer("collector", "127.0.0.1:0", key)
    register = collector_pb2_grpc.add_DatasetServiceServicer_to_server
    server.add(register, collector, "boardloop.collector.v1.DatasetService")
    channel = open_channel(f"127.0.0.1:{server.start()}", key)
    yield Datasets(channel, 30, max_bytes=100)
    channel.close()
    server.stop()


def test_fills_the_job_folder(datasets: Datasets, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    datasets.fetch("v", tmp_path, lambda done, total: told.append((done, total)))
    items = read_items(tmp_path)
    assert [(item.label, item.split) for item in items] == [
        ("ant", "train"),
        ("zebra", "train"),
        ("ant", "validation"),
        ("zebra", "validation"),
    ]
    assert [(tmp_path / item.file).read_bytes() for item in items] == [b"picture %d" % index for index in range(4)]
    assert read_labels(tmp_path, items) == ("zebra", "ant")
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_filled_folder_is_not_fetched_again(datasets: Datasets, collector: Collector, tmp_path: Path) -> None:
    datasets.fetch("v", tmp_path)
    datasets.fetch("v", tmp_path)
    assert collector.streams == 1


def test_a_changed_picture_is_named_and_the_folder_stays_unfinished(
    datasets: Datasets, collector: Collector, tmp_path: Path
) -> None:
    collector.pictures[2].jpeg = b"another picture"
    with pytest.raises(InvalidInput, match=collector.pictures[2].capture_id) as caught:
        datasets.fetch("v", tmp_path)
    assert caught.value.reason == "PICTURE_SHA256"
    assert not (tmp_path / "items.json").exists()


def test_a_damaged_picture_is_left_out_where_that_is_wished(
    datasets: Datasets, collector: Collector, tmp_path: Path
) -> None:
    collector.pictures[2].jpeg = b""
    told: list[str] = []
    datasets.fetch("v", tmp_path, left_out=told.append)
    assert [item.id for item in read_items(tmp_path)] == [f"{index:032x}" for index in (0, 1, 3)]
    assert len(told) == 1 and collector.pictures[2].capture_id in told[0]


def test_a_short_stream_is_told(datasets: Datasets, collector: Collector, tmp_path: Path) -> None:
    collector.pictures.pop()
    with pytest.raises(InvalidInput, match="4 pictures, but 3 came"):
        datasets.fetch("v", tmp_path)


@pytest.mark.parametrize("capture_id", ["../../../etc/cron.d/x", "", "A" * 32, "0" * 31])
def test_a_capture_id_cannot_leave_the_folder(
    datasets: Datasets, collector: Collector, tmp_path: Path, capture_id: str
) -> None:
    collector.pictures[0].capture_id = capture_id
    with pytest.raises(InvalidInput, match="picture with the id"):
        datasets.fetch("v", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_too_many_bytes_are_refused(datasets: Datasets, collector: Collector, tmp_path: Path) -> None:
    big = bytes(101)
    collector.pictures[1].jpeg, collector.pictures[1].sha256 = big, hashlib.sha256(big).hexdigest()
    with pytest.raises(StorageFull, match="BOARDLOOP_DATASET_MAX_BYTES"):
        datasets.fetch("v", tmp_path)


def test_a_collector_that_is_away_is_told(tmp_path: Path) -> None:
    channel = open_channel("127.0.0.1:9", urlsafe_b64encode(bytes(32)).decode(), 5)
    with pytest.raises(Unavailable):
        Datasets(channel, 5, 100).fetch("v", tmp_path)
    channel.close()
