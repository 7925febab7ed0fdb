"""The services behind the gateway as real gRPC servers with canned answers: its tests stand at this boundary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.common.rpc import RpcServer
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as cg
from services.rpc.boardloop.deployer.v1 import deployer_pb2_grpc as dg
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as tg
from tests.gateway.canned_collector import Collector
from tests.gateway.canned_deployer import Deployer
from tests.gateway.canned_facts import BOARDS, LABELS, MODEL_FILE, RELEASE, TARGET, cell_jpeg
from tests.gateway.canned_preview import canned_preview
from tests.gateway.canned_trainer import Trainer, converted

__all__ = ["BOARDS", "LABELS", "MODEL_FILE", "RELEASE", "TARGET", "World", "cell_jpeg", "converted"]


class World:
    """The three servers; a test may take one away and bring it back at the same address."""

    def __init__(self, service_key: str) -> None:
        self._key = service_key
        self.collector, self.trainer, self.deployer = Collector(), Trainer(), Deployer()
        self.ports = {"collector": 0, "trainer": 0, "deployer": 0}
        self._servers: dict[str, RpcServer] = {}
        for name in self.ports:
            self.bring(name)

    def bring(self, name: str) -> None:
        """Starts a service."""
        server = RpcServer(name, f"127.0.0.1:{self.ports[name]}", self._key)
        rooms: dict[str, tuple[object, Any, list[str]]] = {
            "collector": (self.collector, cg, ["ProjectService", "CaptureService", "DatasetService"]),
            "trainer": (self.trainer, tg, ["TrainingService", "ModelService", "EvaluationService"]),
            "deployer": (self.deployer, dg, ["BoardService", "ReleaseService"]),
        }
        servicer, module, services = rooms[name]
        for service in services:
            add: Callable[[Any, Any], None] = getattr(module, f"add_{service}Servicer_to_server")
            server.add(add, servicer, f"boardloop.{name}.v1.{service}")
        if name == "trainer":
            add_preview = tg.add_PreviewServiceServicer_to_server
            server.add(add_preview, canned_preview(self.collector), f"boardloop.{name}.v1.PreviewService")
        self.ports[name] = server.start()
        self._servers[name] = server

    def fill(self) -> str:
        """A project with a hundred captures and two boards; returns its id."""
        project = self.collector.fill(100)
        self.deployer.fill(project)
        return project

    def take(self, name: str) -> None:
        """Stops a service."""
        self._servers.pop(name).stop(grace=0)

    def close(self) -> None:
        """Stops what still runs."""
        for name in list(self._servers):
            self.take(name)
