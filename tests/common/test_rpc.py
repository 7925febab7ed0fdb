"""services/common/rpc.py: the generated code of the collector's contract, a real server, real channels."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from services.common import errors, rpc
from services.common.errors import (
    BoardloopError,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidInput,
    NotFound,
    StorageFull,
    Unauthenticated,
    Unavailable,
)
from services.common.frames import AckReason, FrameError
from services.common.keys import service_token
from services.common.rpc_client import TOKEN_KEY
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as pb_grpc

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
OTHER_KEY = "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
CLASSES: list[type[BoardloopError]] = [getattr(errors, name) for name in errors.__all__]


class Projects(pb_grpc.ProjectServiceServicer):
    """Raises what `error` holds; waits for `release` when told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.release = threading.Event()
        self.release.set()
        self.stopped = threading.Event()
        self.gone = threading.Event()  # the server knows that the last call's caller waits no longer

    def GetProject(self, request: pb.GetProjectRequest, context: Any) -> pb.GetProjectResponse:
        context.add_callback(self.gone.set)
        assert self.release.wait(10)
        if self.error:
            raise self.error
        return pb.GetProjectResponse(project=pb.Project(id=request.project_id))


class Datasets(pb_grpc.DatasetServiceServicer):
    """Streams three items, then raises what `error` holds."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.closed = threading.Event()

    def StreamVersion(self, request: pb.StreamVersionRequest, context: Any) -> Iterator[pb.StreamVersionResponse]:
        try:
            for index in range(10**6 if request.version_id == "endless" else 3):
                yield pb.StreamVersionResponse(capture_id=str(index), jpeg=b"x" * 1000)
            if self.error:
                raise self.error
        finally:
            self.closed.set()


class World:
    def __init__(self) -> None:
        self.projects, self.datasets = Projects(), Datasets()
        self.server = rpc.RpcServer("collector", "127.0.0.1:0", KEY, workers=4)
        self.server.add(
            pb_grpc.add_ProjectServiceServicer_to_server, self.projects, "boardloop.collector.v1.ProjectService"
        )
        self.server.add(
            pb_grpc.add_DatasetServiceServicer_to_server, self.datasets, "boardloop.collector.v1.DatasetService"
        )
        self.address = f"127.0.0.1:{self.server.start()}"


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.projects.release.set()
    made.server.stop(grace=0.5)


@pytest.fixture
def channel(world: World) -> Iterator[grpc.Channel]:
    with rpc.open_channel(world.address, KEY, deadline=10) as made:
        yield made


def get(channel: grpc.Channel, **options: Any) -> Any:
    return pb_grpc.ProjectServiceStub(channel).GetProject(pb.GetProjectRequest(project_id="p1"), **options)


def stream(channel: grpc.Channel, version: str = "v") -> Any:
    return pb_grpc.DatasetServiceStub(channel).StreamVersion(pb.StreamVersionRequest(version_id=version))


def test_a_call_is_answered(channel: grpc.Channel) -> None:
    assert get(channel).project.id == "p1"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_arrives_as_it_was_raised(
    world: World, channel: grpc.Channel, kind: type[BoardloopError]
) -> None:
    world.projects.error = kind("SOME_REASON", "Größe stimmt nicht.", fix="Do this.", capture="abc", limit="5")
    with pytest.raises(BoardloopError) as raised:
        get(channel)
    error = raised.value
    assert type(error) is kind
    assert (error.reason, error.message, error.fix) == ("SOME_REASON", "Größe stimmt nicht.", "Do this.")
    assert error.metadata == {"capture": "abc", "limit": "5"}


def test_the_status_code_is_the_one_of_the_tree(world: World) -> None:
    world.projects.error = StorageFull("STORAGE_FULL", "no room")
    with grpc.insecure_channel(world.address) as plain, pytest.raises(grpc.RpcError) as raised:
        token = service_token(KEY)
        get(plain, timeout=5, metadata=[(TOKEN_KEY, token)])
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_error_class_of_a_service_arrives_as_its_parent(world: World, channel: grpc.Channel) -> None:
    world.projects.error = FrameError(AckReason.BAD_MAC, "wrong MAC")
    with pytest.raises(InvalidInput) as raised:
        get(channel)
    assert raised.value.reason == "BAD_MAC"


def test_a_bug_is_internal_and_its_text_stays_in_the_log(world: World, channel: grpc.Channel) -> None:
    world.projects.error = ValueError("secret detail")
    with pytest.raises(Internal) as raised:
        get(channel)
    assert "ValueError" in raised.value.message and "secret detail" not in str(raised.value)


def test_a_very_long_message_still_arrives(world: World, channel: grpc.Channel) -> None:
    world.projects.error = NotFound("LONG", "ä" * 5000)
    with pytest.raises(NotFound) as raised:
        get(channel)
    assert raised.value.reason == "LONG" and len(raised.value.message) > 500


def test_a_stream_raises_our_error_after_its_items(world: World, channel: grpc.Channel) -> None:
    world.datasets.error = NotFound("NO_VERSION", "gone")
    seen = []
    with pytest.raises(NotFound):
        for item in stream(channel):
            seen.append(item.capture_id)
    assert seen == ["0", "1", "2"]


def test_a_cancelled_stream_ends_the_work_on_the_server(world: World, channel: grpc.Channel) -> None:
    responses = stream(channel, "endless")
    next(responses)
    responses.cancel()
    assert world.datasets.closed.wait(5)


def test_a_call_with_another_key_is_refused(world: World) -> None:
    with rpc.open_channel(world.address, OTHER_KEY) as channel, pytest.raises(Unauthenticated) as raised:
        get(channel)
    assert raised.value.reason == "BAD_SERVICE_TOKEN"


def test_a_stream_with_another_key_is_refused(world: World) -> None:
    with rpc.open_channel(world.address, OTHER_KEY) as channel, pytest.raises(Unauthenticated):
        next(stream(channel))


def test_a_call_without_a_deadline_is_refused(world: World) -> None:
    with grpc.insecure_channel(world.address) as plain, pytest.raises(grpc.RpcError) as raised:
        get(plain, metadata=[(TOKEN_KEY, service_token(KEY))])
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "deadline" in raised.value.details()


def test_a_late_answer_raises_deadline_exceeded(world: World, channel: grpc.Channel) -> None:
    world.projects.release.clear()
    with pytest.raises(DeadlineExceeded):
        get(channel, timeout=0.2)


def test_an_error_after_the_deadline_is_no_bug_in_the_log(
    world: World, channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    world.projects.release.clear()
    world.projects.error = NotFound("LATE", "too late")
    with capture_logs() as lines:
        with pytest.raises(DeadlineExceeded):
            get(channel, timeout=0.2)
        assert world.projects.gone.wait(10)
        world.projects.release.set()
        world.server.stop()
    assert [line["code"] for line in lines if line["event"] == "rpc"] == ["CANCELLED"]
    assert not caplog.records


def test_the_default_deadline_is_the_channels(world: World) -> None:
    world.projects.release.clear()
    with rpc.open_channel(world.address, KEY, deadline=0.2) as channel, pytest.raises(DeadlineExceeded):
        get(channel)


def test_a_service_that_is_away_is_unavailable_and_found_again(world: World, channel: grpc.Channel) -> None:
    get(channel)
    world.server.stop(grace=0.1)
    with pytest.raises(Unavailable) as raised:
        get(channel)
    assert world.address in raised.value.message
    again = rpc.RpcServer("collector", world.address, KEY, workers=2)
    again.add(pb_grpc.add_ProjectServiceServicer_to_server, world.projects, "boardloop.collector.v1.ProjectService")
    again.start()
    try:
        assert get(channel, wait_for_ready=True).project.id == "p1"
    finally:
        again.stop()


def test_a_taken_address_is_named(world: World) -> None:
    second = rpc.RpcServer("trainer", world.address, KEY)
    with pytest.raises(Unavailable, match=world.address):
        second.start()
    second.stop()


def test_an_unknown_method_is_an_error_of_ours(channel: grpc.Channel) -> None:
    with pytest.raises(BoardloopError) as raised:
        pb_grpc.CaptureServiceStub(channel).GetCapture(pb.GetCaptureRequest())
    assert raised.value.reason == "GRPC_UNIMPLEMENTED"


def test_a_message_of_20_mib_passes(world: World, channel: grpc.Channel) -> None:
    request = pb.GetProjectRequest(project_id="x" * (20 * 1024 * 1024))
    assert len(pb_grpc.ProjectServiceStub(channel).GetProject(request).project.id) == 20 * 1024 * 1024


def test_health_needs_no_token(world: World) -> None:
    with grpc.insecure_channel(world.address) as plain:
        for name in ("", "boardloop.collector.v1.ProjectService"):
            answer = health_pb2_grpc.HealthStub(plain).Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(world: World) -> None:
    with grpc.insecure_channel(world.address) as plain:
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        answers = reflection_pb2_grpc.ServerReflectionStub(plain).ServerReflectionInfo(iter(asked), timeout=5)
        names = {service.name for service in next(answers).list_services_response.service}
    assert {"boardloop.collector.v1.ProjectService", "boardloop.collector.v1.DatasetService"} <= names


def test_asyncio_calls_and_streams_raise_our_errors(world: World) -> None:
    async def scenario() -> list[str]:
        async with rpc.open_aio_channel(world.address, KEY, deadline=10) as channel:
            projects, datasets = pb_grpc.ProjectServiceStub(channel), pb_grpc.DatasetServiceStub(channel)
            answer = await projects.GetProject(pb.GetProjectRequest(project_id="p1"))
            seen = [answer.project.id]
            async for item in datasets.StreamVersion(pb.StreamVersionRequest()):
                seen.append(item.capture_id)
            world.projects.error = StorageFull("STORAGE_FULL", "no room", fix="Make room.")
            with pytest.raises(StorageFull) as raised:
                await rpc.call(projects.GetProject(pb.GetProjectRequest(project_id="p1")))
            assert raised.value.fix == "Make room."
            world.datasets.error = FailedPrecondition("NOT_READY", "wait")
            with pytest.raises(FailedPrecondition):
                async for item in datasets.StreamVersion(pb.StreamVersionRequest()):
                    seen.append(item.capture_id)
            return seen

    assert asyncio.run(scenario()) == ["p1", "0", "1", "2", "0", "1", "2"]


def test_asyncio_calls_carry_the_default_deadline(world: World) -> None:
    world.projects.release.clear()

    async def scenario() -> None:
        async with rpc.open_aio_channel(world.address, KEY, deadline=0.2) as channel:
            await pb_grpc.ProjectServiceStub(channel).GetProject(pb.GetProjectRequest())

    with pytest.raises(DeadlineExceeded):
        asyncio.run(scenario())


def test_stop_ends_every_thread_of_the_server(world: World) -> None:
    world.server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rpc-")]


def test_timestamps_keep_the_microsecond() -> None:
    moment = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)
    assert rpc.from_timestamp(rpc.to_timestamp(moment)) == moment
    assert rpc.from_timestamp(Timestamp(seconds=1)) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
