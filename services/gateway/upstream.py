"""The three services behind the gateway: channels, stubs, and whether they answer."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from services.common import rpc
from services.common.errors import BoardloopError, Internal
from services.gateway.settings import GatewaySettings
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as collector_grpc
from services.rpc.boardloop.deployer.v1 import deployer_pb2_grpc as deployer_grpc
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as trainer_grpc

__all__ = ["SERVICES", "Upstream", "ask"]

SERVICES = ("collector", "trainer", "deployer")
PROBE_SECONDS = 2.0
ask = rpc.call  # `await ask(stub.Method(request))` raises the BoardloopError that the service raised


class Upstream:
    """Channels of one event loop: create it inside the loop that uses it."""

    def __init__(self, settings: GatewaySettings) -> None:
        addresses = (settings.collector_address, settings.trainer_address, settings.deployer_address)
        self._channels: dict[str, grpc.aio.Channel] = {
            service: rpc.open_aio_channel(address, settings.service_key, deadline=settings.rpc_deadline_seconds)
            for service, address in zip(SERVICES, addresses, strict=True)
        }
        collector, trainer, deployer = self._channels.values()
        self.projects = collector_grpc.ProjectServiceStub(collector)
        self.captures = collector_grpc.CaptureServiceStub(collector)
        self.datasets = collector_grpc.DatasetServiceStub(collector)
        self.training = trainer_grpc.TrainingServiceStub(trainer)
        self.preview = trainer_grpc.PreviewServiceStub(trainer)
        self.models = trainer_grpc.ModelServiceStub(trainer)
        self.evaluations = trainer_grpc.EvaluationServiceStub(trainer)
        self.boards = deployer_grpc.BoardServiceStub(deployer)
        self.releases = deployer_grpc.ReleaseServiceStub(deployer)

    async def reachable(self) -> dict[str, bool]:
        """Which services say SERVING to a health check within two seconds."""
        answers = await asyncio.gather(*(self._probe(channel) for channel in self._channels.values()))
        return dict(zip(self._channels, answers, strict=True))

    async def close(self) -> None:
        """Ends all channels."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def _probe(self, channel: grpc.aio.Channel) -> bool:
        request = health_pb2.HealthCheckRequest()
        check = channel.unary_unary(  # grpcio-health-checking has no types for its stub
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            response = await ask(check(request, timeout=PROBE_SECONDS))
        except BoardloopError as error:
            return isinstance(error, Internal)  # it answered
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
