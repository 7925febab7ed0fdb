"""A deployer over real servers: the embedded broker with SQLite, and mosquitto with PostgreSQL."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import psycopg
import pytest
from pydantic import SecretStr

from services.common.broker import EmbeddedBroker
from services.common.mqtt import MqttBus, service_bus
from services.common.rpc import open_channel
from services.deployer.service import Deployer
from services.deployer.settings import DeployerSettings
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from services.rpc.boardloop.deployer.v1 import deployer_pb2_grpc as grpc_pb
from tests.deployer.board import Board
from tests.deployer.trainer import FakeTrainer
from tests.servers import Mosquitto, free_port, mosquitto_server

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
RELEASE_KEY = GOLDEN / "TEST_ONLY_release_key.pem"
PATIENCE = 10.0

T = TypeVar("T")


def wait_for(ask: Callable[[], T], what: str) -> T:
    """The first answer that is true; for states that no event announces."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)
    return answer


class Clock:
    """The real time and what the test adds."""

    def __init__(self) -> None:
        self.added = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.added

    def forward(self, **delta: float) -> None:
        self.added += timedelta(**delta)


class Site:
    """A broker, a trainer of fixed bytes and a deployer that can be stopped and started again."""

    def __init__(self, folder: Path, trainer: FakeTrainer, service_key: str, **settings: Any) -> None:
        self.clock = Clock()
        self.project = "p"
        self.broker: EmbeddedBroker | None = None
        self.trainer = trainer
        self.port = free_port()
        self.settings = DeployerSettings(
            data_dir=folder,
            service_key=SecretStr(service_key),
            grpc_address="127.0.0.1:0",
            trainer_address=trainer.address,
            board_host="127.0.0.1",
            **{"mqtt_url": f"mqtt://127.0.0.1:{self.port}", "release_key": RELEASE_KEY, **settings},
        )
        self.port = int(self.settings.mqtt_url.rpartition(":")[2])
        self.owns_broker = not self.settings.dynsec_password.get_secret_value()
        self._made: list[Board] = []
        self._channel: grpc.Channel | None = None
        self.start()

    def start(self) -> None:
        self.deployer = Deployer(self.settings, clock=self.clock)
        if self.owns_broker:
            if self.broker is None:
                self.broker = EmbeddedBroker("127.0.0.1", self.port, lambda *login: self.deployer.authenticate(*login))
                self.broker.start()
            self.deployer.use_broker(self.broker.disconnect)
        self.deployer.start()
        self.deployer.wait_connected(PATIENCE)
        self._channel = open_channel(f"127.0.0.1:{self.deployer.port}", self.settings.service_key, 20)
        self.boards = grpc_pb.BoardServiceStub(self._channel)
        self.releases = grpc_pb.ReleaseServiceStub(self._channel)

    def stop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self.deployer.stop()
            self._channel = None

    def restart(self) -> None:
        """The broker lives on."""
        self.stop()
        self.start()

    def leave(self) -> None:
        for board in self._made:
            board.disconnect()
        self._made.clear()

    def close(self) -> None:
        self.leave()
        self.stop()
        if self.broker is not None:
            self.broker.stop()

    # ------------------------------------------------------------------ what people and boards do

    def code(self, name: str = "bench 1", **fields: Any) -> str:
        request = pb.CreatePairingRequest(project_id=self.project, name=name, **fields)
        return str(self.boards.CreatePairing(request).code)

    def board(self, code: str = "", **fields: Any) -> Board:
        """Not connected."""
        made = Board(code or self.code(), self.port, **fields)
        self._made.append(made)
        return made

    def paired(self, **fields: Any) -> Board:
        return self.board(**fields).pair()

    def get(self, board: Board) -> pb.Board:
        return self.boards.GetBoard(pb.GetBoardRequest(board_id=board.id)).board

    def until(self, board: Board, true: Callable[[pb.Board], bool], what: str) -> pb.Board:
        def ask() -> pb.Board | None:
            now = self.get(board)
            return now if true(now) else None

        found = wait_for(ask, what)
        assert found is not None
        return found

    def release(self, **fields: Any) -> pb.Release:
        request = pb.CreateReleaseRequest(**{"project_id": self.project, "model_id": f"m1.{self.project}", **fields})
        return self.releases.CreateRelease(request).release

    def get_release(self, release: pb.Release) -> pb.Release:
        return self.releases.GetRelease(pb.GetReleaseRequest(release_id=release.id)).release

    def bus(self, service: str = "collector") -> MqttBus:
        """Started; another service at the same broker."""
        made = service_bus(self.settings, service)
        made.start()
        made.wait_connected(PATIENCE)
        return made


@pytest.fixture(scope="session")
def service_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="session")
def trainer(service_key: str) -> Iterator[FakeTrainer]:
    made = FakeTrainer(service_key)
    yield made
    made.server.stop(0)


@pytest.fixture
def make_site(tmp_path: Path, trainer: FakeTrainer, service_key: str) -> Iterator[Callable[..., Site]]:
    """A site of the test's own, for settings of its own."""
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(tmp_path / "data", trainer, service_key, **settings))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture(scope="session")
def _embedded(tmp_path_factory: pytest.TempPathFactory, trainer: FakeTrainer, service_key: str) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("deployer"), trainer, service_key)
    yield site
    site.close()


@pytest.fixture(scope="session")
def own_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Not the one that other tests share: the deployer takes over all its accounts."""
    with mosquitto_server(tmp_path_factory.mktemp("mosquitto")) as made:
        yield made


@pytest.fixture(scope="session")
def _mosquitto(
    tmp_path_factory: pytest.TempPathFactory,
    trainer: FakeTrainer,
    service_key: str,
    own_mosquitto: Mosquitto,
    postgres_url: str,
) -> Iterator[Site]:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE deployer_tests")
    site = Site(
        tmp_path_factory.mktemp("deployer"),
        trainer,
        service_key,
        mqtt_url=own_mosquitto.url,
        dynsec_username=own_mosquitto.admin_user,
        dynsec_password=SecretStr(own_mosquitto.admin_password),
        database_url=postgres_url.rpartition("/")[0] + "/deployer_tests",
    )
    yield site
    site.close()


def fresh(site: Site) -> Iterator[Site]:
    """The session's site with a project of the test's own, at the real time."""
    site.project = f"p{uuid4().hex[:10]}"
    site.clock.added = timedelta()
    yield site
    site.leave()


@pytest.fixture
def embedded_site(_embedded: Site) -> Iterator[Site]:
    yield from fresh(_embedded)


@pytest.fixture
def mosquitto_site(_mosquitto: Site) -> Iterator[Site]:
    yield from fresh(_mosquitto)


@pytest.fixture(params=["embedded+sqlite", "mosquitto+postgres"])
def site(request: pytest.FixtureRequest) -> Site:
    """Both kinds of broker and both databases."""
    made: Site = request.getfixturevalue(f"{request.param.partition('+')[0]}_site")
    return made
