"""The rooms of a collector over real stores, and whole collectors over real brokers."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from services.collector.browse import Browser
from services.collector.captures import Captures, NewCapture, object_key
from services.collector.datasets import Datasets
from services.collector.models import Capture
from services.collector.projects import Projects
from services.collector.service import MIGRATIONS, SERVICE, Collector
from services.collector.settings import CollectorSettings
from services.common import topics
from services.common.captures import CaptureRecord
from services.common.database import Database, database_url
from services.common.frames import AckReason, Kind
from services.common.keys import service_password
from services.common.mqtt import service_bus
from services.common.objects import DirectoryStore, open_object_store
from tests.collector.boards import WireBoard, make_jpeg
from tests.servers import BrokerServer


@pytest.fixture(scope="session")
def service_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Rooms:
    """The collector without broker and gRPC."""

    database: Database
    store: DirectoryStore
    projects: Projects
    captures: Captures
    browser: Browser
    datasets: Datasets
    made: int = 0

    def new(self, project_id: str, label: str = "", board_id: str = "aaaaaaaaaa", **changes: object) -> NewCapture:
        """A capture that nobody has stored; its object is not there yet."""
        self.made += 1
        jpeg = make_jpeg(self.made, 16, 16)
        capture_id = sha256(b"%d" % self.made).hexdigest()[:32]
        fields: dict[str, object] = {
            "capture_id": capture_id,
            "project_id": project_id,
            "board_id": board_id,
            "label": label,
            "width": 16,
            "height": 16,
            "size_bytes": len(jpeg),
            "sha256": sha256(jpeg).hexdigest(),
            "object_key": object_key(project_id, board_id, capture_id),
            "captured_at": datetime(2026, 11, 22, 12, tzinfo=UTC),
        }
        return NewCapture(**(fields | changes))  # type: ignore[arg-type]

    def stored(self, project_id: str, label: str = "", count: int = 1, board_id: str = "aaaaaaaaaa") -> list[str]:
        """Ids of new captures with their objects."""
        batch = []
        for _ in range(count):
            batch.append(self.new(project_id, label, board_id))
            self.store.put(batch[-1].object_key, make_jpeg(self.made, 16, 16))
        assert self.captures.store_batch(batch) == [AckReason.STORED] * count
        return [new.capture_id for new in batch]


@pytest.fixture
def rooms(any_database_url: str, tmp_path: Path) -> Iterator[Rooms]:
    database = Database(any_database_url, "collector")
    database.migrate(MIGRATIONS)
    store = DirectoryStore(tmp_path / "objects")
    yield Rooms(
        database, store, Projects(database), Captures(database, store), Browser(database), Datasets(database, store)
    )
    database.close()


class World:
    """A collector that runs, with boards at the same broker."""

    def __init__(self, broker_url: str, service_key: str, folder: Path, **settings: object) -> None:
        self.service_key = service_key
        fields = {"data_dir": folder, "service_key": service_key, "mqtt_url": broker_url, "ingest_workers": 2}
        self.settings = CollectorSettings(**(fields | {"grpc_address": "127.0.0.1:0"} | settings))
        self.bus = service_bus(self.settings, "test")
        self.bus.start()
        self.bus.wait_connected(10)
        self.boards: list[WireBoard] = []
        self.collector: Collector | None = None
        self.start()
        self.project = self.projects.create("cells", ["functional", "defective"]).id

    def start(self) -> None:
        """Starts a collector on the same data, as after a restart."""
        self.collector = Collector(self.settings)
        self.collector.start()
        self.collector.wait_connected(10)

    def stop(self) -> None:
        collector, self.collector = self.collector, None
        if collector is not None:
            collector.stop()

    def close(self) -> None:
        self.stop()
        for board in self.boards:  # the next test shares the broker
            self.bus.publish(topics.record(board.board_id), b"", qos=1, retain=True, wait=10)
            self.bus.publish(topics.down(board.board_id, Kind.PROJECT), b"", qos=1, retain=True, wait=10)
        self.bus.stop()

    @property
    def projects(self) -> Projects:
        assert self.collector is not None
        return self.collector.projects

    def board(self, *, enrolled: bool = True) -> WireBoard:
        self.boards.append(WireBoard(self.bus, self.project))
        return self.boards[-1].enrol(self.service_key) if enrolled else self.boards[-1]

    def stored(self) -> dict[str, str]:
        """Capture id -> SHA-256 of its object as it is on the disk now; fails where row and object do not agree."""
        database = Database(database_url(self.settings, SERVICE), SERVICE)
        store = open_object_store(self.settings)
        found = {}
        with database.session(read_only=True) as session:
            for row in session.scalars(select(Capture).where(Capture.deleted_at.is_(None))):
                jpeg = store.get(row.object_key)
                assert (sha256(jpeg).hexdigest(), len(jpeg)) == (row.sha256, row.size_bytes)
                found[row.id] = row.sha256
        database.close()
        return found


def hashes(*records: CaptureRecord) -> dict[str, str]:
    """What World.stored() gives when exactly these are stored."""
    return {record.capture_id.hex(): sha256(record.jpeg).hexdigest() for record in records}


@pytest.fixture
def broker_url(any_broker: BrokerServer, service_key: str) -> Iterator[str]:
    """Each broker, with the accounts of the collector and of the test."""
    names = [f"service.{name}" for name in (SERVICE, "test")]
    for name in names:
        any_broker.add_user(name, service_password(service_key, name.removeprefix("service.")))
    yield any_broker.url
    for name in names:
        any_broker.remove_user(name)


@pytest.fixture
def make_world(broker_url: str, service_key: str, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Collectors with settings of the test, at each of the brokers in turn."""
    worlds: list[World] = []

    def make(**settings: object) -> World:
        worlds.append(World(broker_url, service_key, tmp_path / "data", **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A collector with its own SQLite and folder."""
    return make_world()


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every log line of the test as a dict."""
    with capture_logs() as lines:
        yield lines
